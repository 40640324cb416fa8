/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See gate_rig.h. The spool's threads are real, so rig_pump waits for them on
 * the spool's descriptor, with a deadline.
 */
#include "gate_rig.h"

#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#define PUMP_TRIES 300 /* of 100 ms */
#define RCPTS_MAX 4096

/* ---- policies ---- */

struct conf {
	struct option_array policies;
};

static const struct option no_options[] = {{.name = NULL}};
static const struct option_section sections[] = {
    {
	.name = "policy",
	.options = policy_options,
	.size = sizeof(struct policy_conf),
	.offset = offsetof(struct conf, policies),
	.title_offset = offsetof(struct policy_conf, name),
	.place_offset = offsetof(struct policy_conf, place),
    },
    {.name = NULL},
};
static const struct option_schema schema = {
    no_options, sections, sizeof(struct conf)};

struct policies *
rig_policies(const char *text)
{
	char err[1024];
	struct conf *conf =
	    options_load(&schema, "weir.conf", text, err, sizeof(err));
	struct policies *set = NULL;

	if (conf != NULL)
		set = policies_new(
		    conf->policies.v, conf->policies.n, err, sizeof(err));
	if (set == NULL)
		fail_msg("%s", err);
	if (conf != NULL)
		options_free(&schema, conf);
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

static const struct gate_callbacks callbacks = {
    on_released, on_freeze, on_schedule};

static void
on_answer(void *arg, const struct gate_answer *answer)
{
	struct rig *r = arg;

	r->answers++;
	r->verdict = answer->verdict;
	r->observed = answer->observed;
	r->code = answer->code;
	assert_non_null(answer->why);
	snprintf(r->why, sizeof(r->why), "%s", answer->why);
	r->text[0] = r->enhanced[0] = '\0';
	if (answer->verdict != THROTTLE_REFUSE)
		return;
	assert_true(strlen(answer->text) < 400);
	assert_true(str_is_ascii(str_from(answer->text)));
	assert_null(strpbrk(answer->text, "\r\n"));
	snprintf(r->text, sizeof(r->text), "%s", answer->text);
	snprintf(r->enhanced, sizeof(r->enhanced), "%s", answer->enhanced);
}

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
	};
	char err[512];
	int status;

	r->spool = spool_open(&settings, NULL, err, sizeof(err), &status);
	if (r->spool == NULL)
		fail_msg("spool: %s", err);
	r->gate = gate_new(&r->settings, r->spool, r->events, &r->counters,
	    NULL, &callbacks, r);
	assert_int_equal(gate_load(r->gate, r->now, r->wall), 0);
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

void
rig_close(struct rig *r)
{
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

/* ---- sending ---- */

struct gate_txn *
rig_begin(struct rig *r, const char *user)
{
	struct gate_facts facts = {
	    .user = str_from(user), .client = {.family = IP_NONE}};

	return gate_begin(r->gate, &facts, r->now);
}

void
rig_sender(struct rig *r, struct gate_txn *txn)
{
	gate_sender(txn, r->now, r->wall, on_answer, r);
}

enum throttle_verdict
rig_ask(struct rig *r, struct gate_txn *txn, const char *address)
{
	unsigned before = r->answers;

	gate_recipient(txn, str_from(address), r->now, r->wall, on_answer, r);
	assert_int_equal(r->answers, before + 1);
	return r->verdict;
}

static void
on_put(void *arg, int error)
{
	int *result = arg;

	*result = error;
}

/* Addresses are not kept by the gate: the hash stands for one. */
static size_t
fill_rcpts(struct gate_txn *txn, uint64_t id, struct spool_rcpt *rcpts,
    char (*names)[32], uint64_t *tickets)
{
	bool whole = gate_txn_is_whole(txn);
	size_t n = 0;

	for (size_t i = 0; i < gate_txn_count(txn); i++) {
		bool held = gate_txn_verdict(txn, i) == THROTTLE_HOLD;

		tickets[i] = 0;
		if (!held && !whole)
			continue;
		snprintf(names[n], sizeof(*names), "%016llx",
		    (unsigned long long)gate_txn_destination(txn, i));
		rcpts[n] = (struct spool_rcpt){
		    .address = names[n],
		    .destination = gate_txn_destination(txn, i),
		    .state = held ? SPOOL_HELD : SPOOL_RELEASED,
		};
		tickets[i] = SPOOL_TICKET(id, n);
		n++;
	}
	return n;
}

uint64_t
rig_commit(struct rig *r, struct gate_txn *txn)
{
	uint64_t id = spool_new_id(r->spool, r->wall);
	struct spool_rcpt *rcpts = xcalloc(RCPTS_MAX, sizeof(*rcpts));
	uint64_t *tickets = xcalloc(RCPTS_MAX, sizeof(*tickets));
	char(*names)[32] = xcalloc(RCPTS_MAX, sizeof(*names));
	size_t n = fill_rcpts(txn, id, rcpts, names, tickets);
	struct spool_message m = {
	    .id = id,
	    .source = gate_txn_source(txn),
	    .policy = gate_txn_policy(txn),
	    .from = "",
	    .client = "127.0.0.1",
	    .helo = "test",
	    .whole = gate_txn_is_whole(txn),
	    .queued_at = r->wall,
	    .rcpts = rcpts,
	    .rcpt_count = n,
	};
	int error = 0;

	if (n > 0) {
		struct spool_body *body = spool_body_new(r->spool, id);

		spool_body_write(body, "Subject: x\r\n\r\ny\r\n", 17);
		error = -1;
		spool_put(r->spool, &m, body, on_put, &error);
		rig_pump(r);
		assert_int_equal(error, 0);
	}
	gate_commit(txn, tickets, r->now, r->wall);
	rig_pump(r);
	free(rcpts);
	free(tickets);
	free(names);
	return n > 0 ? id : 0;
}

enum throttle_verdict
rig_send(struct rig *r, const char *user, const char *address)
{
	struct gate_txn *txn = rig_begin(r, user);
	enum throttle_verdict verdict;

	rig_sender(r, txn);
	if (r->verdict == THROTTLE_REFUSE) {
		gate_cancel(txn, r->now);
		return THROTTLE_REFUSE;
	}
	verdict = rig_ask(r, txn, address);
	if (verdict == THROTTLE_REFUSE)
		gate_cancel(txn, r->now);
	else
		rig_commit(r, txn);
	return verdict;
}

struct rig_counts
rig_send_many(struct rig *r, const char *user, const char *prefix, unsigned n)
{
	struct rig_counts counts = {0};

	for (unsigned i = 0; i < n; i++) {
		char address[64];

		snprintf(
		    address, sizeof(address), "%s%u@example.com", prefix, i);
		switch (rig_send(r, user, address)) {
		case THROTTLE_PASS:
			counts.passed++;
			break;
		case THROTTLE_HOLD:
			counts.held++;
			break;
		case THROTTLE_REFUSE:
			counts.refused++;
			break;
		}
	}
	return counts;
}

/* ---- looking ---- */

struct delivery {
	struct rig *r;
	struct buf *out;
	unsigned n;
	bool more;
};

static void
on_finished(void *arg, int error)
{
	(void)arg;
	assert_int_equal(error, 0);
}

static void
on_claim(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t next_due)
{
	struct delivery *d = arg;

	(void)next_due;
	assert_int_equal(error, 0);
	d->more = n > 0;
	for (size_t i = 0; i < n; i++) {
		const struct spool_message *m = &jobs[i]->m;

		for (size_t k = 0; k < m->rcpt_count; k++) {
			struct spool_result result = {
			    .ticket = m->rcpts[k].ticket,
			    .outcome = SPOOL_DELIVERED,
			};

			d->n++;
			if (d->out != NULL)
				assert_true(buf_printf(
				    d->out, "%s ", m->rcpts[k].address));
			spool_finish(d->r->spool, &result, 1, NULL,
			    (struct str){0}, on_finished, NULL);
		}
		spool_job_free(jobs[i]);
	}
}

unsigned
rig_deliver(struct rig *r, struct buf *addresses)
{
	struct delivery d = {.r = r, .out = addresses, .more = true};

	while (d.more) {
		d.more = false;
		spool_claim(r->spool, 100, r->wall, on_claim, &d);
		rig_pump(r);
	}
	return d.n;
}

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

	return rig_info(r, sender, &info) ? info.t.queue_length : 0;
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
	c->n++;
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
	gate_freeze(r->gate, sender, "admin", r->now, r->wall, rig_on_done, r);
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
