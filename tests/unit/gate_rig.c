/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See gate_rig.h; this is its life, its clock and what can be seen of it. The
 * spool's threads are real, so rig_pump waits for them on the spool's
 * descriptor, with a deadline.
 */
#include "gate_rig.h"
#include "policy_rig.h"

#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#define PUMP_TRIES 300 /* of 100 ms */

/* ---- policies ---- */

struct policies *
rig_policies(const char *text)
{
	struct policies *set = read_policies(text);

	if (set == NULL)
		fail_msg("%s", err);
	return set;
}

/* ---- callbacks ---- */

static void
on_released(void *arg)
{
	struct rig *r = arg;

	r->released++;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	struct rig *r = arg;

	r->freeze_passed = freeze->passed;
	r->freezes++;
	snprintf(
	    r->freeze_sender, sizeof(r->freeze_sender), "%s", freeze->sender);
	snprintf(
	    r->freeze_policy, sizeof(r->freeze_policy), "%s", freeze->policy);
	snprintf(
	    r->freeze_reason, sizeof(r->freeze_reason), "%s", freeze->reason);
	r->freeze_length = freeze->queue_length;
	r->freeze_at = freeze->freeze_at;
}

static void
on_schedule(void *arg)
{
	struct rig *r = arg;

	r->schedules++;
}

static void
on_stopped(void *arg, const char *sender)
{
	struct rig *r = arg;

	(void)sender;
	r->stops++;
}

static void
on_spent(void *arg, const char *sender, uint32_t recipients, uint32_t messages)
{
	struct rig *r = arg;

	str_copy(str_from(sender), r->spent_sender, sizeof(r->spent_sender));
	r->spent_recipients += recipients;
	r->spent_messages += messages;
}

static const struct gate_callbacks callbacks = {.on_spent = on_spent,
    .on_released = on_released,
    .on_stopped = on_stopped,
    .on_freeze = on_freeze,
    .on_schedule = on_schedule};

void
rig_on_done(void *arg, int error, uint64_t count)
{
	struct rig *r = arg;

	r->done++;
	r->error = error;
	r->count = count;
}

/* ---- life ---- */

/* Lower case, and "user+tag" folded: what the relay passes does more. */
static size_t
recipient_key(struct str address, bool fold_tag, char out[GATE_RECIPIENT_MAX])
{
	size_t at = str_rindex(address, '@'), plus, n = 0;
	struct str local = str_sub(address, 0, at);

	plus = fold_tag ? str_index(local, '+') : local.n;
	for (size_t i = 0; i < address.n && n < GATE_RECIPIENT_MAX; i++) {
		char c = address.p[i];

		if (i >= plus && i < at)
			continue;
		out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	return n;
}

static void
open_spool(struct rig *r)
{
	struct spool_settings settings = {
	    .dir = r->dir,
	    .large_body_bytes = 256 << 10,
	    .body_memory_bytes = 64 << 20,
	    .outstanding_max = r->outstanding_max,
	    .load_page = r->load_page,
	};
	int status;

	r->spool = spool_open(&settings, NULL, err, sizeof(err), &status);
	if (r->spool == NULL)
		fail_msg("spool: %s", err);
	r->gate = gate_new(&r->settings, r->spool, r->events, &r->counters,
	    NULL, &callbacks, r);
	assert_int_equal(gate_load(r->gate, r->now, r->wall), 0);
	if (!r->loads_late)
		assert_true(gate_load_wait(r->gate, PUMP_TRIES * 100));
}

void
rig_open(struct rig *r, const char *policies)
{
	*r = (struct rig){
	    .now = 1000000, .wall = RIG_WALL, .outstanding_max = 10000};
	str_copy(STR("/tmp/weir-gate-XXXXXX"), r->dir, sizeof(r->dir));
	assert_non_null(mkdtemp(r->dir));
	r->settings = (struct gate_settings){
	    .policies = rig_policies(policies),
	    .contact = "postmaster@example.org",
	    .recipient_key = recipient_key,
	};
	r->events = events_new();
	open_spool(r);
}

static void
close_spool(struct rig *r)
{
	gate_free(r->gate);
	spool_close(r->spool);
	r->gate = NULL;
	r->spool = NULL;
}

void
rig_restart(struct rig *r)
{
	close_spool(r);
	open_spool(r);
}

void
rig_reload(struct rig *r, const char *policies, bool observe)
{
	struct policies *was = r->settings.policies;

	r->settings.policies = rig_policies(policies);
	r->settings.observe = observe;
	gate_reload(r->gate, &r->settings, r->now);
	policies_free(was);
}

static void
remove_tree(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *path = xasprintf("%s/%s", dir, e->d_name);

		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0 && unlink(path) != 0)
			remove_tree(path);
		free(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

static uint64_t
sum(const struct counters *c, enum counter first, enum counter last)
{
	uint64_t n = 0;

	for (enum counter i = first; i <= last; i++)
		n += c->v[i];
	return n;
}

/* Each recipient is in one series, and gauges are what a walk finds. */
static void
check_counts(struct rig *r)
{
	const struct counters *c = &r->counters;
	struct gate_sender_info info;
	size_t pos = 0, waiting = 0;
	uint64_t held = 0;

	for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++)
		held += c->histograms[HISTOGRAM_HELD].in[i];
	assert_int_equal(held, c->v[COUNT_RELEASED_RECIPIENTS]);
	assert_int_equal(sum(c, COUNT_PASS_ALLOWED, COUNT_PASS_OBSERVED),
	    c->v[COUNT_PASSED_RECIPIENTS]);
	assert_int_equal(sum(c, COUNT_HOLD_ALLOWANCE, COUNT_HOLD_FROZEN),
	    c->v[COUNT_DELAYED_RECIPIENTS]);
	assert_int_equal(sum(c, COUNT_REFUSE_FROZEN, COUNT_REFUSE_OTHER),
	    c->v[COUNT_REFUSED_RECIPIENTS]);
	while (gate_sender_each(r->gate, &pos, r->now, r->wall, &info))
		waiting += info.t.queue_length > 0 && !info.t.frozen;
	assert_int_equal(gate_waiting_count(r->gate), waiting);
}

void
rig_close(struct rig *r)
{
	check_counts(r);
	close_spool(r);
	policies_free(r->settings.policies);
	events_free(r->events);
	remove_tree(r->dir);
}

/* ---- time ---- */

void
rig_pass_time(struct rig *r, int64_t ms)
{
	r->now += ms;
	r->wall += ms;
}

void
rig_pump(struct rig *r)
{
	for (int i = 0; i < PUMP_TRIES; i++) {
		struct pollfd p = {spool_fd(r->spool), POLLIN, 0};

		spool_dispatch(r->spool);
		if (spool_is_idle(r->spool))
			return;
		poll(&p, 1, 100);
	}
	fail_msg("the spool does not come to rest");
}

void
rig_run(struct rig *r, int64_t ms)
{
	int64_t end = r->now + ms;

	for (;;) {
		int64_t due = gate_next_due(r->gate);

		if (due > end)
			break;
		if (due > r->now)
			rig_pass_time(r, due - r->now);
		gate_run(r->gate, r->now, r->wall);
		rig_pump(r);
	}
	rig_pass_time(r, end - r->now);
}

/* ---- looking ---- */

uint64_t
rig_stored(struct rig *r, enum spool_state state)
{
	struct spool_stats stats;

	spool_stats(r->spool, &stats);
	return stats.recipients[state];
}

bool
rig_info(struct rig *r, const char *sender, struct gate_sender_info *out)
{
	return gate_sender_find(
	    r->gate, str_from(sender), r->now, r->wall, out);
}

uint32_t
rig_queue(struct rig *r, const char *sender)
{
	struct gate_sender_info info;

	return rig_info(r, sender, &info) ? info.waiting : 0;
}

bool
rig_is_frozen(struct rig *r, const char *sender)
{
	struct gate_sender_info info;
	bool frozen = rig_info(r, sender, &info) && info.t.frozen;

	if (frozen)
		assert_true(info.frozen_at > 0);
	return frozen;
}

uint64_t
rig_counter(const struct rig *r, enum counter id)
{
	return r->counters.v[id];
}

struct event_count {
	enum event_type type;
	unsigned n;
	char *last;
};

static void
on_event(void *arg, const struct event_item *item)
{
	struct event_count *c = arg;

	if (item->type != c->type)
		return;
	c->n += (unsigned)item->count;
	if (c->last != NULL)
		snprintf(c->last, RIG_TEXT, "%s", item->detail);
}

unsigned
rig_events(struct rig *r, enum event_type type)
{
	struct event_count c = {.type = type};

	events_each(r->events, 0, on_event, &c);
	return c.n;
}

void
rig_last_event(struct rig *r, enum event_type type, char out[RIG_TEXT])
{
	struct event_count c = {.type = type, .last = out};

	out[0] = '\0';
	events_each(r->events, 0, on_event, &c);
}

/* ---- the administrator ---- */

static int
wait_done(struct rig *r)
{
	rig_pump(r);
	assert_int_equal(r->done, 1);
	return r->error;
}

int
rig_thaw(struct rig *r, const char *sender, enum gate_thaw then)
{
	r->done = 0;
	gate_thaw(
	    r->gate, sender, then, "admin", r->now, r->wall, rig_on_done, r);
	return wait_done(r);
}

int
rig_freeze(struct rig *r, const char *sender)
{
	r->done = 0;
	gate_freeze(r->gate,
	    &(struct gate_freeze_order){.sender = sender, .who = "admin"},
	    r->now, r->wall, rig_on_done, r);
	return wait_done(r);
}

int
rig_release(struct rig *r, const struct spool_select *select)
{
	r->done = 0;
	gate_release(r->gate, select, "admin", r->now, r->wall, rig_on_done, r);
	return wait_done(r);
}

int
rig_discard(struct rig *r, const struct spool_select *select)
{
	r->done = 0;
	gate_discard(r->gate, select, "admin", r->now, r->wall, rig_on_done, r);
	return wait_done(r);
}

static void
on_audit(void *arg, int error, const struct spool_audit *rows, size_t n)
{
	struct buf *out = arg;

	assert_int_equal(error, 0);
	for (size_t i = 0; i < n; i++)
		assert_true(buf_printf(out, "%s %s %s %s\n", rows[i].who,
		    rows[i].action, rows[i].target,
		    rows[i].detail != NULL ? rows[i].detail : ""));
}

void
rig_audit(struct rig *r, struct buf *out)
{
	spool_audit_list(r->spool, 100, on_audit, out);
	rig_pump(r);
}
