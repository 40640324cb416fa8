/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From events to alerts and to freeze_command: what happened to a sender is
 * told with the addresses that its held mail came from and samples of its
 * subjects, decoded. Both are from strangers: few and short. The spool is
 * asked first; where it does not answer the rest is told without them.
 *
 * A freeze is durable before it is told, and an alert only after that; so at
 * the start whoever is frozen is raised once more, which says nothing new of
 * those that were raised before.
 */
#include "maild/maild_internal.h"

#include "base/header.h"
#include "base/map.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MAX 100  /* of its messages, the oldest */
#define LOOKS_MAX 200 /* at once; then without */
#define CLIENTS_MAX 5
#define SUBJECTS_MAX 3
#define SHOWN_MAX 120 /* bytes of a subject */
#define TEXT_MAX 1024
#define ADDRESS_MAX 254

struct maild_alert {
	struct list entry;
	struct maild *m;
	bool runs_hook, is_alert;
	enum alert_event event;
	char *sender, *policy, *reason;
	int64_t at;
	struct gate_freeze freeze; /* with these; of the hook */
};

static void
alert_item_clear(struct maild_alert *a)
{
	list_remove(&a->entry);
	a->m->alert_count--;
	free(a->sender);
	free(a->policy);
	free(a->reason);
	free(a);
}

/* Each once. */
struct samples {
	const char *seen[CLIENTS_MAX];
	size_t count, max, used, line_used;
	char text[TEXT_MAX];  /* "one; two", each quoted */
	char lines[TEXT_MAX]; /* as they came, one a line */
};

/* key: what makes it another one; borrowed for as long as the samples are. */
static void
add(struct samples *s, const char *key, const char *quote, struct str text)
{
	char shown[SHOWN_MAX];

	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->seen[i], key) == 0)
			return;
	}
	if (s->count == s->max)
		return;
	/* As many as there may be have room. */
	s->used += (size_t)snprintf(s->text + s->used, TEXT_MAX - s->used,
	    "%s%s%s%s", s->count > 0 ? "; " : "", quote,
	    str_escape(text, shown, sizeof(shown)), quote);
	/* A line each: alerts escape the rest. */
	for (size_t i = 0; i < text.n && i < SHOWN_MAX; i++)
		s->lines[s->line_used++] =
		    (char)(text.p[i] == '\n' || text.p[i] == '\0' ? ' '
								  : text.p[i]);
	s->lines[s->line_used++] = '\n';
	s->seen[s->count++] = key;
}

static void
run_hook(const struct maild_alert *a, const char *clients, const char *subjects)
{
	struct maild *m = a->m;

	hook_run(m->hook, m->gen->conf->freeze_command,
	    &(struct hook_freeze){.sender = a->sender,
		.policy = a->policy,
		.reason = a->reason,
		.queue_length = a->freeze.queue_length,
		.freeze_at = a->freeze.freeze_at,
		.at = a->freeze.at,
		.passed = a->freeze.passed,
		.clients = clients,
		.subjects = subjects});
}

/* ---- notify_sender ---- */

/* As option_check of alert's `to` has it: nothing that needs quoting. */
static bool
is_plain_address(struct str s)
{
	size_t at = str_rindex(s, '@');

	if (at == 0 || at + 1 >= s.n || s.n > ADDRESS_MAX || !str_is_ascii(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] == 0x7f ||
		    strchr("<>()[],;:\\\"", s.p[i]) != NULL)
			return false;
	}
	return true;
}

/* The sender's own address by its key; "": it has none that is surely its own.
 */
static void
address_of(
    const struct maild_config *conf, const char *key, char out[ADDRESS_MAX + 1])
{
	struct str s = str_from(key);
	const struct option_strings *domains = &conf->local_domains;
	char text[2 * ADDRESS_MAX + 2];

	out[0] = '\0';
	if (s.n == 0 || s.n > ADDRESS_MAX || s.p[0] == '[')
		return;
	if (s.p[0] == '<') { /* an envelope sender can be anybody's */
		s = str_sub(s, 1, s.n - 2);
		if (!locals_has(conf->gate.locals, s))
			return;
	}
	if (str_index(s, '@') == s.n) {
		if (domains->n == 0 || strchr(domains->v[0], '/') != NULL)
			return;
		snprintf(text, sizeof(text), "%.*s@%.*s", STR_ARG(s),
		    ADDRESS_MAX, domains->v[0]);
		s = str_from(text);
	}
	if (is_plain_address(s))
		str_copy(s, out, ADDRESS_MAX + 1);
}

/* What the sender itself is to hear: to and contact, else "". */
static void
add_notice(const struct maild *m, const struct policy_conf *policy,
    struct alert_facts *f, char to[ADDRESS_MAX + 1])
{
	const struct maild_config *conf = m->gen->conf;
	bool is_due = policy != NULL && conf->mode != MAILD_OBSERVE &&
		      (f->event == ALERT_FREEZE
			      ? policy->notify_sender != POLICY_NOTIFY_NONE
			      : policy->notify_sender == POLICY_NOTIFY_WARNING);

	if (!is_due)
		return;
	address_of(conf, f->subject, to);
	f->to = to;
	f->contact = policy->contact != NULL      ? policy->contact
		     : conf->gate.contact != NULL ? conf->gate.contact
						  : "";
}

static bool
has_notices(const struct maild_config *conf)
{
	const struct policy_conf *policies = conf->policy.v;

	for (size_t i = 0; i < conf->policy.n; i++) {
		if (policies[i].notify_sender != POLICY_NOTIFY_NONE)
			return true;
	}
	return false;
}

/* ---- what is raised ---- */

static void
raise(struct maild *m, enum alert_event event, const char *sender,
    const char *reason, int64_t at, const struct samples *clients,
    const struct samples *subjects)
{
	int64_t now = loop_now(m->loop), wall = clock_wall_ms();
	char to[ADDRESS_MAX + 1] = "";
	const struct policy *policy = NULL;
	struct gate_sender_info info;
	struct alert_facts f = {
	    .event = event,
	    .subject = sender,
	    .detail = reason,
	    .policy = "",
	    .clients = clients != NULL ? clients->lines : "",
	    .subjects = subjects != NULL ? subjects->lines : "",
	    .to = "",
	    .contact = "",
	    .since = at,
	};

	if (sender[0] != '\0' &&
	    gate_sender_find(m->gate, str_from(sender), now, wall, &info)) {
		f.policy = info.policy;
		f.waiting = info.waiting;
		f.limit = info.freeze_at;
		f.passed = info.passed;
		policy = policies_find(
		    m->gen->conf->gate.policies, str_from(info.policy));
		if (event == ALERT_FREEZE && info.frozen_at == 0)
			return; /* thawed meanwhile */
		if (event == ALERT_FREEZE)
			f.since = info.frozen_at;
	} else if (event == ALERT_FREEZE) {
		return;
	}
	add_notice(m, policy != NULL ? policy->conf : NULL, &f, to);
	alert_raise(m->alert, &f, now, wall);
}

/* The latest first. */
static void
on_mail(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct maild_alert *a = arg;
	struct samples clients = {.max = CLIENTS_MAX};
	struct samples subjects = {.max = SUBJECTS_MAX};
	char *text;

	while (error == 0 && n-- > 0) {
		const struct spool_message *m = &messages[n];

		if (m->client[0] != '\0')
			add(&clients, m->client, "", str_from(m->client));
		if (m->subject == NULL)
			continue;
		text = header_decode(str_from(m->subject));
		add(&subjects, m->subject, "\"", str_from(text));
		free(text);
	}
	if (a->runs_hook)
		run_hook(a, clients.text, subjects.text);
	if (a->is_alert)
		raise(a->m, a->event, a->sender, a->reason, a->at, &clients,
		    &subjects);
	alert_item_clear(a);
}

static struct maild_alert *
look(
    struct maild *m, const char *sender, const char *policy, const char *reason)
{
	struct maild_alert *a = xcalloc(1, sizeof(*a));
	struct spool_select select = {.source = sender};

	a->m = m;
	a->sender = xstrdup(sender);
	a->policy = xstrdup(policy);
	a->reason = xstrdup(reason);
	list_append(&m->alerts, &a->entry);
	m->alert_count++;
	spool_list(m->spool, &select, 0, LOOK_MAX, on_mail, a);
	return a;
}

void
maild_alert(struct maild *m, const struct gate_freeze *freeze)
{
	struct maild_alert *a;

	if (m->gen->conf->freeze_command == NULL)
		return;
	a = look(m, freeze->sender, freeze->policy, freeze->reason);
	a->runs_hook = true;
	a->freeze = *freeze;
}

/* ---- the event stream ---- */

static bool
event_of(enum event_type type, enum alert_event *out)
{
	static const struct {
		enum event_type type;
		enum alert_event event;
	} table[] = {
	    {EVENT_FREEZE, ALERT_FREEZE},
	    {EVENT_DECOY, ALERT_DECOY},
	    {EVENT_NETWORKS, ALERT_NETWORKS},
	    {EVENT_BLAST, ALERT_BLAST},
	    {EVENT_WARN, ALERT_WARNING},
	    {EVENT_SPARE, ALERT_WARNING},
	    {EVENT_CREDIT, ALERT_WARNING},
	    {EVENT_STRANGERS, ALERT_WARNING},
	    {EVENT_PERSISTENT, ALERT_WARNING},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].type == type) {
			*out = table[i].event;
			return true;
		}
	}
	return false;
}

/* From anywhere in the gate: only take note. */
static void
on_event(void *arg, const struct event_item *item)
{
	struct maild *m = arg;
	bool notices = has_notices(m->gen->conf);
	enum alert_event event;
	struct maild_alert *a;

	if (item->type == EVENT_THAW) {
		alert_end(m->alert, ALERT_FREEZE, item->sender, item->detail,
		    loop_now(m->loop), item->at);
		return;
	}
	if (!event_of(item->type, &event) ||
	    (!alert_is_wanted(m->alert, event) &&
		!(notices &&
		    (event == ALERT_FREEZE || event == ALERT_WARNING))))
		return;
	if (item->sender[0] == '\0' || m->alert_count >= LOOKS_MAX) {
		raise(
		    m, event, item->sender, item->detail, item->at, NULL, NULL);
		return;
	}
	a = look(m, item->sender, "", item->detail);
	a->is_alert = true;
	a->event = event;
	a->at = item->at;
}

void
maild_alert_raise(struct maild *m, enum alert_event event, const char *subject,
    const char *detail)
{
	int64_t wall = clock_wall_ms();

	if (m->alert == NULL) /* the start has not come so far */
		return;
	alert_raise(m->alert,
	    &(struct alert_facts){.event = event,
		.subject = subject,
		.detail = detail,
		.policy = "",
		.clients = "",
		.subjects = "",
		.to = "",
		.contact = "",
		.since = wall},
	    loop_now(m->loop), wall);
}

void
maild_alert_turn(
    void *arg, const char *source, const char *ticket, const char *destination)
{
	struct maild *m = arg;
	int64_t wall = clock_wall_ms();

	if (m->alert == NULL || !alert_is_wanted(m->alert, ALERT_RELEASE))
		return;
	alert_raise(m->alert,
	    &(struct alert_facts){.event = ALERT_RELEASE,
		.subject = source,
		.detail = "its turn has come",
		.policy = "",
		.clients = "",
		.subjects = "",
		.to = "",
		.contact = "",
		.ticket = ticket,
		.destination = destination,
		.since = wall},
	    loop_now(m->loop), wall);
}

void
maild_alert_end(struct maild *m, enum alert_event event, const char *subject)
{
	alert_end(
	    m->alert, event, subject, "", loop_now(m->loop), clock_wall_ms());
}

/* ---- what the alerts need ---- */

static void
on_send(void *arg, const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b, alert_sent_fn *fn, void *fn_arg)
{
	struct maild *m = arg;

	courier_send(m->courier, v, c, b, clock_wall_ms(), fn, fn_arg);
}

static void
on_alert_mail(void *arg)
{
	struct maild *m = arg;

	delivery_kick(m->delivery, loop_now(m->loop), clock_wall_ms());
}

static void
on_alert_schedule(void *arg)
{
	struct maild *m = arg;

	if (m->alert != NULL && m->alert_timer.loop != NULL)
		loop_timer_set(&m->alert_timer, alert_next_due(m->alert));
}

static void
on_alert_time(void *arg, int64_t *now, int64_t *wall)
{
	struct maild *m = arg;

	*now = loop_now(m->loop);
	*wall = clock_wall_ms();
}

static void
on_alert_timer(void *arg, int64_t now)
{
	struct maild *m = arg;

	alert_run(m->alert, now, clock_wall_ms());
	loop_timer_set(&m->alert_timer, alert_next_due(m->alert));
}

static const struct alert_ops alert_ops = {
    .send = on_send,
    .on_mail = on_alert_mail,
    .on_schedule = on_alert_schedule,
    .time = on_alert_time,
};

static struct alert_settings
settings_of(const struct maild_config *conf, char address[ADDRESS_MAX + 1])
{
	const char *postmaster = conf->delivery.postmaster;

	if (postmaster == NULL || !is_plain_address(str_from(postmaster))) {
		snprintf(address, ADDRESS_MAX + 1, "postmaster@%.240s",
		    conf->hostname);
		postmaster = address;
	}
	return (struct alert_settings){.confs = conf->alert.v,
	    .count = conf->alert.n,
	    .voice = {.hostname = conf->hostname, .postmaster = postmaster}};
}

int
maild_alert_init(struct maild *m)
{
	struct alert_settings settings =
	    settings_of(m->gen->conf, m->alert_from);
	bool crashed;
	int error;

	list_init(&m->alerts);
	m->courier = courier_new(m->loop);
	if (m->courier == NULL)
		panic("alert: libcurl cannot be used");
	m->alert =
	    alert_new(m->spool, &alert_ops, m, &settings, &m->counters, m->log);
	error =
	    alert_load(m->alert, loop_now(m->loop), clock_wall_ms(), &crashed);
	if (error != 0)
		return error;
	if (crashed) {
		events_add(m->events, clock_wall_ms(), EVENT_RESTART, "", "",
		    "the previous weir-maild was not stopped");
		log_write(m->log, LOG_EV_MAILD_RESTART,
		    KV(reason, "the previous weir-maild was not stopped"));
		maild_alert_raise(m, ALERT_RESTART, m->gen->conf->hostname,
		    "weir-maild ended without being stopped: a crash, a kill "
		    "or a loss of power");
	}
	m->alert_follower.on_event = on_event;
	m->alert_follower.arg = m;
	events_follow(m->events, &m->alert_follower);
	return 0;
}

/* Who is frozen, against what the alerts have as frozen. */
static void
compare(struct maild *m)
{
	int64_t now = loop_now(m->loop), wall = clock_wall_ms();
	struct map *open = map_new();
	struct gate_sender_info info;
	size_t pos = 0;

	if (!alert_is_wanted(m->alert, ALERT_FREEZE) &&
	    !has_notices(m->gen->conf)) {
		map_free(open, NULL);
		return;
	}
	while (gate_frozen_count(m->gate) > 0 &&
	       gate_sender_each(m->gate, &pos, now, wall, &info)) {
		char *sender, *shown;

		if (info.frozen_at == 0)
			continue;
		sender = xstrdup(info.sender);
		shown = alert_shown(sender);
		map_set(open, str_from(shown), m);
		free(shown);
		if (m->alert_count < LOOKS_MAX) {
			struct maild_alert *a = look(m, sender, "",
			    info.freeze_note != NULL
				? info.freeze_note
				: "it was frozen before weir-maild started");

			a->is_alert = true;
			a->event = ALERT_FREEZE;
			a->at = info.frozen_at;
		} else {
			raise(m, ALERT_FREEZE, sender,
			    "it was frozen before weir-maild started",
			    info.frozen_at, NULL, NULL);
		}
		free(sender);
	}
	alert_end_others(m->alert, ALERT_FREEZE, open, now, wall);
	map_free(open, NULL);
}

void
maild_alert_start(struct maild *m)
{
	loop_timer_init(&m->alert_timer, m->loop, on_alert_timer, m);
	compare(m);
	on_alert_schedule(m);
}

void
maild_alert_reload(struct maild *m)
{
	struct alert_settings settings =
	    settings_of(m->gen->conf, m->alert_from);

	alert_reload(m->alert, &settings, loop_now(m->loop));
	compare(m);
}

void
maild_alert_clear(struct maild *m, bool clean)
{
	if (m->alert == NULL) /* the start did not come so far */
		return;
	events_unfollow(&m->alert_follower);
	while (!list_is_empty(&m->alerts))
		alert_item_clear(
		    LIST_ITEM(m->alerts.next, struct maild_alert, entry));
	if (clean)
		alert_stop(m->alert);
	courier_free(m->courier);
	alert_free(m->alert);
	m->alert = NULL;
	if (m->alert_timer.loop != NULL)
		loop_timer_clear(&m->alert_timer);
}
