/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What becomes of each recipient of an attempt, in one place: delivered, again
 * later, returned to the sender, or dropped because nobody wants a report.
 *
 * Age alone does not end a message. Mail that the throttle held for a week and
 * that an administrator then let go has still its first tries before it; so it
 * is returned when it is older than max_age and was tried TRIES_LEAST times.
 * While no next hop is there, or the daemon stops, nothing is tried and nothing
 * returned: the report would only wait behind the mail.
 */
#include "delivery/delivery_private.h"

#include "base/hash.h"
#include "base/units.h"
#include "delivery/bounce.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_LEAST 4
#define LOGIN_WAIT_MAX_MS 900000

static bool
is_expired(const struct attempt *a, const struct spool_rcpt *r, int64_t wall)
{
	return !a->put_back &&
	       wall - a->job->m.queued_at > a->d->settings.max_age_ms &&
	       r->attempts >= TRIES_LEAST - 1;
}

static bool
is_final(const struct attempt *a, size_t i, int64_t wall)
{
	const struct outcome *f = &a->outcomes[i];

	return f->kind == OUTCOME_REFUSED ||
	       (f->kind == OUTCOME_LATER && !f->waits &&
		   is_expired(a, &a->job->m.rcpts[i], wall));
}

/* RFC 3461 section 4.1: what NOTIFY names, and failure where there is none.
 * RFC 5321 section 6.1: never for a bounce. */
static bool
wants_report(const struct attempt *a, size_t i)
{
	unsigned notify = a->job->m.rcpts[i].notify;

	return a->job->m.from[0] != '\0' &&
	       (notify == 0 || (notify & SMTP_NOTIFY_FAILURE) != 0);
}

/* RFC 3461 section 5.2.2 c: a next hop without DSN reports no success, so we
 * do. */
static bool
wants_success(const struct attempt *a, size_t i)
{
	return a->outcomes[i].kind == OUTCOME_DELIVERED && !a->dsn &&
	       a->job->m.from[0] != '\0' &&
	       (a->job->m.rcpts[i].notify & SMTP_NOTIFY_SUCCESS) != 0;
}

static bool
is_reported(const struct attempt *a, size_t i, int64_t wall)
{
	return wants_success(a, i) ||
	       (is_final(a, i, wall) && wants_report(a, i));
}

static size_t
count_reports(const struct attempt *a, int64_t wall)
{
	size_t n = 0;

	for (size_t i = 0; i < a->job->m.rcpt_count; i++)
		n += is_reported(a, i, wall);
	return n;
}

bool
outcome_needs_original(const struct attempt *a, int64_t wall)
{
	return a->job->body.p == NULL && a->job->m.size > 0 &&
	       count_reports(a, wall) > 0;
}

/* Doubled with each attempt. Up to a tenth is added, the same for one message
 * at one attempt, so that what failed together does not come back together. */
static int64_t
retry_delay(const struct attempt *a, const struct spool_rcpt *r)
{
	const struct delivery_settings *s = &a->d->settings;
	int64_t delay = s->retry_min_ms;
	uint64_t jitter =
	    hash_bytes(&a->job->m.id, sizeof(a->job->m.id), r->attempts);

	for (uint32_t i = 0; i < r->attempts && delay < s->retry_max_ms; i++)
		delay *= 2;
	if (delay > s->retry_max_ms)
		delay = s->retry_max_ms;
	return delay + (int64_t)(jitter % 1024) * (delay / 10) / 1024;
}

/* Until weir can log in: not an attempt, and soon enough after that was put
 * right, however long it has waited. */
static int64_t
login_delay(const struct attempt *a, int64_t wall)
{
	const struct delivery_settings *s = &a->d->settings;
	int64_t delay = (wall - a->job->m.queued_at) / 4;

	if (delay > LOGIN_WAIT_MAX_MS)
		delay = LOGIN_WAIT_MAX_MS;
	if (delay > s->retry_max_ms)
		delay = s->retry_max_ms;
	return delay > s->retry_min_ms ? delay : s->retry_min_ms;
}

static int64_t
next_try(const struct attempt *a, size_t i, int64_t wall)
{
	if (a->put_back)
		return a->next_try;
	return wall + (a->outcomes[i].waits
			      ? login_delay(a, wall)
			      : retry_delay(a, &a->job->m.rcpts[i]));
}

/* ---- telling ---- */

struct rcpt_event { /* of one recipient */
	enum event_type event;
	enum log_event_id line;
	const char *reply;
	const char *bounce_id; /* NULL: there is none */
	const char *reason;    /* beside the reply; NULL: none */
	int64_t next_try;      /* wall; 0: none, INT64_MAX: never */
};

static void
report_event(
    const struct attempt *a, size_t i, const struct rcpt_event *t, int64_t wall)
{
	const struct delivery *d = a->d;
	const struct spool_message *m = &a->job->m;
	const char *to = m->rcpts[i].address;
	int64_t delay = wall - m->queued_at;
	char shown[2][256];

	log_write(d->log, t->line, KV(id, a->id), KV(sender, m->source),
	    KV(from, m->from), KV(to, to), KV(next_hop, a->hop_name),
	    KV(delay_ms, delay > 0 ? delay : 0), KV(bounce, t->bounce_id),
	    KV(reason, t->reason), KV(next_try, t->next_try),
	    KV(reply, t->reply));
	events_add(d->events, wall, t->event, m->source, a->id, "%s: %s",
	    str_escape(str_from(to), shown[0], sizeof(shown[0])),
	    str_escape(str_from(t->reply), shown[1], sizeof(shown[1])));
}

static const char *
outcome_text(const struct outcome *f)
{
	if (f->reply != NULL)
		return f->reply;
	return f->reason != NULL ? f->reason : "";
}

static void
report_delivered(const struct attempt *a, size_t i, int64_t wall)
{
	const struct rcpt_event t = {.event = EVENT_DELIVER,
	    .line = LOG_EV_DELIVERY_DELIVER,
	    .reply = outcome_text(&a->outcomes[i])};

	counters_add(a->d->counters, COUNT_DELIVERED_RECIPIENTS, 1);
	report_event(a, i, &t, wall);
}

static void
report_deferred(
    const struct attempt *a, size_t i, int64_t next_try, int64_t wall)
{
	const struct rcpt_event t = {.event = EVENT_DEFER,
	    .line = LOG_EV_DELIVERY_DEFER,
	    .reply = outcome_text(&a->outcomes[i]),
	    .next_try = next_try};

	counters_add(a->d->counters, COUNT_DEFERRED_RECIPIENTS, 1);
	report_event(a, i, &t, wall);
}

static void
report_ended(
    const struct attempt *a, size_t i, const char *bounce_id, int64_t wall)
{
	bool reported = wants_report(a, i), dead = a->job->m.from[0] == '\0';
	struct rcpt_event t = {.event = EVENT_BOUNCE,
	    .line = LOG_EV_DELIVERY_BOUNCE,
	    .reply = outcome_text(&a->outcomes[i]),
	    .bounce_id = bounce_id};

	/* A report that nobody can be given: the administrator is the last who
	 * may hear of it. */
	if (!reported) {
		t.line =
		    dead ? LOG_EV_DELIVERY_DEAD_LETTER : LOG_EV_DELIVERY_DROP;
		t.bounce_id = NULL;
		t.reason = dead ? "null sender" : "notify";
	}
	if (dead)
		counters_add(a->d->counters, COUNT_DEAD_LETTERS, 1);
	report_event(a, i, &t, wall);
}

/* What cannot be told to the sender is not done either: the recipient stays,
 * and is tried again when the report may go. A report of success is left out:
 * the mail is where it should be. */
static void
report_unreported(const struct attempt *a, size_t i, int64_t wall)
{
	bool stays = a->outcomes[i].kind != OUTCOME_DELIVERED;
	const struct rcpt_event t = {
	    .event = stays ? EVENT_DEFER : EVENT_DELIVER,
	    .line = stays ? LOG_EV_DELIVERY_BOUNCE_PUT_OFF
			  : LOG_EV_DELIVERY_REPORT_LEFT_OUT,
	    .reply = outcome_text(&a->outcomes[i]),
	    .reason = "report_limit",
	    .next_try = stays ? a->report_at : INT64_MAX};

	report_event(a, i, &t, wall);
}

/* Minutes apart, not all at the moment when the window ends. */
static void
take_report(struct attempt *a, int64_t wall)
{
	struct delivery *d = a->d;
	uint64_t jitter = hash_bytes(&a->job->m.id, sizeof(a->job->m.id), 0);
	int64_t wait = 0;

	a->unreported =
	    !report_limit_take(d->reports, str_from(a->job->m.source),
		&d->settings.report_rate, str_from(a->job->m.from),
		&d->settings.report_rate_address, loop_now(d->loop), &wait);
	if (!a->unreported)
		return;
	counters_add(d->counters, COUNT_REPORTS_LIMITED, 1);
	a->report_at =
	    wall + wait + (int64_t)(jitter % 1024) * (wait / 4) / 1024;
}

/* ---- the report ---- */

static struct bounce_recipient
report_of(const struct attempt *a, size_t i)
{
	const struct spool_rcpt *r = &a->job->m.rcpts[i];
	const struct outcome *f = &a->outcomes[i];
	struct bounce_recipient out = {
	    .address = str_from(r->address),
	    .orcpt = str_from(r->orcpt),
	    .status = str_from(f->status),
	    .reason = STR("It was refused"),
	    .reply = str_from(f->reply),
	    .remote = str_from(f->is_ours ? NULL : a->hop_name),
	};

	if (f->kind == OUTCOME_DELIVERED) {
		out.action = a->lmtp ? BOUNCE_DELIVERED : BOUNCE_RELAYED;
		out.status = STR("2.0.0");
		out.reason = STR("It was accepted");
	} else if (f->kind == OUTCOME_LATER) {
		out.status = STR("5.4.7");
		out.reason = STR("It could not be delivered in time");
	} else if (f->reason != NULL) {
		out.reason = str_from(f->reason);
	}
	return out;
}

/* A sender that is no address hears nothing; then the postmaster does. */
static const char *
report_address(const struct attempt *a, char out[BOUNCE_ADDRESS_MAX])
{
	const char *from = a->job->m.from;
	struct smtp_path path;

	if (smtp_path_parse_given(str_from(from), false, &path) != SMTP_PATH_OK)
		return a->d->postmaster;
	return bounce_address(from, out);
}

static void
fill_facts(struct bounce_facts *f, const struct attempt *a, const char *id,
    struct str original, bool is_whole, int64_t wall,
    char address[BOUNCE_ADDRESS_MAX])
{
	const struct delivery *d = a->d;
	const struct spool_message *m = &a->job->m;
	struct smtp_caps caps;

	*f = (struct bounce_facts){
	    .hostname = str_from(d->hostname),
	    .postmaster = str_from(d->postmaster),
	    .id = str_from(id),
	    .original_id = str_from(a->id),
	    .to = str_from(report_address(a, address)),
	    .envid = str_from(m->envid),
	    .wall = wall,
	    .arrived = m->queued_at,
	    .seed = spool_seed(d->spool),
	    /* RFC 8689 section 5: as if RET=HDRS was said. */
	    .ret = m->require_tls ? SMTP_RET_HDRS : (enum smtp_ret)m->ret,
	    .original = str_sub(original, 0, BOUNCE_ORIGINAL_MAX),
	    .is_whole = is_whole && original.n <= BOUNCE_ORIGINAL_MAX,
	    .eight_bit_ok = nexthop_caps(d->nexthop, &caps) &&
			    (caps.ext & SMTP_EXT_8BITMIME) != 0,
	};
}

static void
record_bounce(struct attempt *a, const struct spool_result *results,
    const struct bounce_facts *facts, uint64_t id)
{
	struct delivery *d = a->d;
	struct result_bounce bounce = {
	    .id = id,
	    .to = facts->to.p,
	    .utf8 = !str_is_ascii(facts->to),
	    .require_tls = a->job->m.require_tls,
	    /* RFC 3461 section 5.2.7: never a report about a report. */
	    .notify = SMTP_NOTIFY_NEVER,
	    .wall = facts->wall,
	};
	struct buf text;
	bool eight_bit = false;

	buf_init(&text, BOUNCE_TEXT_MAX);
	if (!bounce_print(facts, &text, &eight_bit))
		panic("bounce: %zu recipients do not fit", facts->rcpt_count);
	bounce.body_type = eight_bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
	bounce.text = buf_str(&text);
	bounce.subject = bounce_subject(facts);
	result_queue_add_bounce(
	    d->result_queue, results, a->job->m.rcpt_count, &bounce);
	counters_add(d->counters, COUNT_BOUNCES, 1);
	buf_clear(&text);
}

static struct spool_result
result_of(const struct attempt *a, size_t i, int64_t wall)
{
	const struct spool_rcpt *r = &a->job->m.rcpts[i];
	const struct outcome *f = &a->outcomes[i];
	struct spool_result result = {.ticket = r->ticket};

	if (f->kind == OUTCOME_DELIVERED) {
		result.outcome = SPOOL_DELIVERED;
	} else if (a->unreported && is_reported(a, i, wall)) {
		result.outcome = SPOOL_RETRY;
		result.untried = true;
		result.next_try = a->report_at;
		result.error = outcome_text(f);
	} else if (is_final(a, i, wall)) {
		result.outcome = SPOOL_BOUNCED;
	} else {
		result.outcome = SPOOL_RETRY;
		result.untried = a->put_back || f->waits;
		result.next_try = next_try(a, i, wall);
		result.error = outcome_text(f);
	}
	return result;
}

/* The next hop's own word on it. */
static void
report_owner(const struct attempt *a, size_t i)
{
	const struct delivery_settings *s = &a->d->settings;
	const struct outcome *f = &a->outcomes[i];
	struct smtp_reply reply;

	if (s->on_end == NULL)
		return;
	if (f->kind == OUTCOME_DELIVERED) {
		s->on_end(s->why_arg, &a->job->m, i, NULL, false);
		return;
	}
	if (f->kind != OUTCOME_REFUSED || f->is_ours || f->code == 0)
		return;
	reply = smtp_reply_make(f->code, f->has_status ? f->status : "", "");
	s->on_end(s->why_arg, &a->job->m, i, &reply, f->to_rcpt);
}

static void
report_all(const struct attempt *a, const struct spool_result *results,
    const char *bounce_id, int64_t wall)
{
	for (size_t i = 0; i < a->job->m.rcpt_count; i++) {
		if (a->unreported && is_reported(a, i, wall)) {
			if (results[i].outcome == SPOOL_RETRY)
				delivery_note_due(
				    a->d, results[i].next_try, wall);
			report_unreported(a, i, wall);
			if (results[i].outcome == SPOOL_RETRY)
				continue;
		}
		switch (results[i].outcome) {
		case SPOOL_DELIVERED:
			report_delivered(a, i, wall);
			report_owner(a, i);
			break;
		case SPOOL_RETRY:
			delivery_note_due(a->d, results[i].next_try, wall);
			if (!a->put_back)
				report_deferred(
				    a, i, results[i].next_try, wall);
			break;
		case SPOOL_BOUNCED:
			report_ended(a, i, bounce_id, wall);
			report_owner(a, i);
			break;
		}
	}
}

static void
record_with_bounce(struct attempt *a, const struct spool_result *results,
    const struct bounce_facts *facts, uint64_t id)
{
	struct bounce_facts all = *facts;
	size_t n = a->job->m.rcpt_count, k = 0;
	struct bounce_recipient *rcpts = xcalloc(n, sizeof(*rcpts));

	for (size_t i = 0; i < n; i++) {
		if (is_reported(a, i, facts->wall))
			rcpts[k++] = report_of(a, i);
	}
	all.rcpts = rcpts;
	all.rcpt_count = k;
	record_bounce(a, results, &all, id);
	free(rcpts);
}

void
outcome_record(
    struct attempt *a, struct str original, bool is_whole, int64_t wall)
{
	struct delivery *d = a->d;
	size_t n = a->job->m.rcpt_count;
	struct spool_result *results = xcalloc(n + 1, sizeof(*results));
	char bounce_id[SPOOL_ID_TEXT] = "", address[BOUNCE_ADDRESS_MAX];
	struct bounce_facts facts;
	uint64_t id = 0;

	if (count_reports(a, wall) > 0)
		take_report(a, wall);
	for (size_t i = 0; i < n; i++)
		results[i] = result_of(a, i, wall);
	if (count_reports(a, wall) > 0 && !a->unreported) {
		id = spool_new_id(d->spool, wall);
		spool_id_format(id, bounce_id);
		fill_facts(
		    &facts, a, bounce_id, original, is_whole, wall, address);
		record_with_bounce(a, results, &facts, id);
	} else {
		for (size_t i = 0; i < n; i++)
			result_queue_add(d->result_queue, &results[i]);
	}
	report_all(a, results, bounce_id, wall);
	free(results);
}
