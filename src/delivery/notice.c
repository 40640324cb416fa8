/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Delay notices (RFC 3461 section 4.1, RFC 3464): who sent mail that waits for
 * notify_after hears what waits and why, and the log and the events tell the
 * administrator the same. Once a message, in order of arrival, one at a time:
 *
 *	list what lies above the mark -> read its header -> list it again (it
 *	may have gone meanwhile) -> store notice and new mark in one commit
 *
 * Never to a null sender, nor for recipients whose NOTIFY leaves DELAY out, nor
 * more than notify_limit allows to one address.
 */
#include "delivery/delivery_private.h"

#include "base/reverse_path.h"
#include "base/units.h"
#include "delivery/bounce.h"
#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MAX_MS 60000
#define TURN_MIN_MS 200
#define LIST_MAX 32

static void look(struct delivery *d);

static void
on_turn(void *arg, int64_t now)
{
	struct delivery *d = arg;

	(void)now;
	if (!d->notices.busy)
		look(d);
}

void
notices_init(struct delivery *d)
{
	struct notices *n = &d->notices;

	loop_timer_init(&n->timer, d->loop, on_turn, d);
	buf_init(&n->header, BOUNCE_ORIGINAL_MAX);
	n->limit = notice_limit_new();
	notices_schedule(d);
}

void
notices_clear(struct delivery *d)
{
	loop_timer_clear(&d->notices.timer);
	buf_clear(&d->notices.header);
	notice_limit_free(d->notices.limit);
}

void
notices_schedule(struct delivery *d)
{
	int64_t turn = d->settings.notify_after_ms / 8;

	if (d->settings.notify_after_ms <= 0) {
		loop_timer_set(&d->notices.timer, INT64_MAX);
		return;
	}
	turn = turn > TURN_MAX_MS ? TURN_MAX_MS : turn;
	turn = turn < TURN_MIN_MS ? TURN_MIN_MS : turn;
	loop_timer_set(&d->notices.timer, loop_now(d->loop) + turn);
}

static void
rest(struct delivery *d)
{
	d->notices.busy = false;
	d->notices.id = 0;
	buf_clear(&d->notices.header);
	notices_schedule(d);
}

/* ---- one message ---- */

static bool
is_wanted(const struct spool_message *m, size_t i)
{
	unsigned notify = m->rcpts[i].notify;

	return m->from[0] != '\0' &&
	       (notify == 0 || (notify & SMTP_NOTIFY_DELAY) != 0);
}

static size_t
count_wanted(const struct spool_message *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->rcpt_count; i++)
		n += is_wanted(m, i);
	return n;
}

static struct str
why_held(const struct delivery *d, const struct spool_message *m,
    char out[DELIVERY_WHY_MAX])
{
	const struct delivery_settings *s = &d->settings;

	if (s->why_held == NULL)
		return STR("It exceeds the sending rate and is on hold");
	return str_from(s->why_held(s->why_arg, m, out));
}

static struct bounce_recipient
report_of(const struct delivery *d, const struct spool_message *m, size_t i,
    struct str held, int64_t wall)
{
	const struct spool_rcpt *r = &m->rcpts[i];
	struct bounce_recipient out = {
	    .action = BOUNCE_DELAYED,
	    .address = str_from(r->address),
	    .orcpt = str_from(r->orcpt),
	    .status = STR("4.7.0"),
	    .reason = held,
	};

	if (r->state == SPOOL_HELD)
		return out;
	out.status = STR("4.4.7");
	out.reason = STR("It could not be delivered yet and will be retried");
	out.reply = str_from(r->last_error);
	/* Mail that was held for longer has still tries before it. */
	if (m->queued_at + d->settings.max_age_ms > wall)
		out.retry_until = m->queued_at + d->settings.max_age_ms;
	return out;
}

static size_t
fill_reports(const struct delivery *d, const struct spool_message *m,
    struct str held, int64_t wall, struct bounce_recipient *out)
{
	size_t n = 0;

	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (is_wanted(m, i))
			out[n++] = report_of(d, m, i, held, wall);
	}
	return n;
}

static void
notify_admin(const struct delivery *d, const struct spool_message *m,
    struct str held, const char *notice, int64_t wall)
{
	const struct spool_rcpt *r = &m->rcpts[0];
	struct str why = r->state != SPOOL_HELD && r->last_error != NULL
			     ? str_from(r->last_error)
			     : held;
	char id[SPOOL_ID_TEXT];
	char shown[256];
	char age[UNITS_TEXT_MAX];

	spool_id_format(m->id, id);
	units_format_duration((wall - m->queued_at) / 1000 * 1000, age);
	log_write(d->log, LOG_EV_DELIVERY_DELAYED, KV(id, id),
	    KV(sender, m->source), KV(from, m->from), KV(to, r->address),
	    KV(recipients, m->rcpt_count), KV(age_ms, wall - m->queued_at),
	    KV(notice, notice[0] != '\0' ? notice : "none"), KV(reason, why));
	events_add(d->events, wall, EVENT_DELAY, m->source, id,
	    "%zu recipients wait for %s: %s", m->rcpt_count, age,
	    str_escape(why, shown, sizeof(shown)));
}

static void
on_marked(void *arg, int error)
{
	struct delivery *d = arg;

	if (error != 0) {
		log_write(d->log, LOG_EV_DELIVERY_NOTICE_FAILED,
		    KV(error, strerror(error)));
		rest(d);
		return;
	}
	d->notices.id = 0;
	delivery_kick(d, loop_now(d->loop), clock_wall_ms());
	look(d);
}

static void
store(struct delivery *d, const struct spool_message *m,
    const struct bounce_facts *f, uint64_t id)
{
	struct buf text;
	bool eight_bit;
	char address[BOUNCE_ADDRESS_MAX];
	struct spool_rcpt to = {
	    .address = bounce_address(m->from, address),
	    .notify = SMTP_NOTIFY_NEVER,
	    .state = SPOOL_RELEASED,
	    .next_try = f->wall,
	};
	struct spool_message notice = {
	    .id = id,
	    .source = BOUNCE_SOURCE,
	    .policy = BOUNCE_POLICY,
	    .from = "",
	    .subject = bounce_subject(f),
	    .client = "",
	    .helo = "",
	    .body_type = SMTP_BODY_7BIT,
	    .utf8 = !str_is_ascii(f->to),
	    .require_tls = m->require_tls,
	    .queued_at = f->wall,
	    .rcpts = &to,
	    .rcpt_count = 1,
	};

	buf_init(&text, BOUNCE_TEXT_MAX);
	if (!bounce_print(f, &text, &eight_bit))
		panic("notice: %zu recipients do not fit", f->rcpt_count);
	spool_set_notice_mark(
	    d->spool, m->id, &notice, buf_str(&text), on_marked, d);
	buf_clear(&text);
}

static bool
may_report(const struct delivery *d, const struct spool_message *m)
{
	const struct option_rate any = {0, 0};
	int64_t now = loop_now(d->loop), wait;
	char base[REVERSE_PATH_MAX];

	/* What one address gets is notify_limit's; of what one source sends
	 * notices are a part. */
	if (notice_limit_take(d->notices.limit,
		reverse_path_base(str_from(m->from), base),
		d->settings.notify_limit.count,
		d->settings.notify_limit.window_ms, now) &&
	    report_limit_take(d->reports, str_from(m->source),
		&d->settings.report_rate, str_from(m->from), &any, now, &wait))
		return true;
	counters_add(d->counters, COUNT_REPORTS_LIMITED, 1);
	return false;
}

/* The header is there, or nobody wants it. */
static void
report(struct delivery *d, const struct spool_message *m, int64_t wall)
{
	struct bounce_recipient *rcpts =
	    xcalloc(m->rcpt_count + 1, sizeof(*rcpts));
	char why[DELIVERY_WHY_MAX], id_text[SPOOL_ID_TEXT] = "";
	char address[BOUNCE_ADDRESS_MAX];
	char original_id[SPOOL_ID_TEXT];
	struct str held = why_held(d, m, why);
	struct bounce_facts f = {
	    .hostname = str_from(d->hostname),
	    .postmaster = str_from(d->postmaster),
	    .id = str_from(id_text),
	    .original_id = str_from(spool_id_format(m->id, original_id)),
	    .to = str_from(bounce_address(m->from, address)),
	    .envid = str_from(m->envid),
	    .wall = wall,
	    .arrived = m->queued_at,
	    .seed = spool_seed(d->spool),
	    .original = buf_str(&d->notices.header),
	    .is_whole = d->notices.whole,
	    .rcpts = rcpts,
	    .rcpt_count = fill_reports(d, m, held, wall, rcpts),
	};
	bool limited = f.rcpt_count > 0 && !may_report(d, m);
	uint64_t id =
	    f.rcpt_count > 0 && !limited ? spool_new_id(d->spool, wall) : 0;

	if (id != 0)
		f.id = str_from(spool_id_format(id, id_text));
	notify_admin(d, m, held, limited ? "limit" : id_text, wall);
	if (id != 0)
		store(d, m, &f, id);
	else
		spool_set_notice_mark(
		    d->spool, m->id, NULL, (struct str){NULL, 0}, on_marked, d);
	free(rcpts);
}

/* ---- which ---- */

static void
on_header(void *arg, int error, struct str chunk)
{
	struct delivery *d = arg;
	struct buf *header = &d->notices.header;

	if (error != 0 && error != ENOENT) {
		rest(d);
		return;
	}
	buf_clear(header);
	if (error == 0 &&
	    !buf_append_str(header, str_sub(chunk, 0, buf_room(header))))
		panic("notice: a header past its room");
	look(d);
}

/* By the id, which is of the time of MAIL: a message whose text took long must
 * not lie behind the mark already when it comes. After a restart ids run ahead
 * of the clock for a while. */
static bool
is_due(const struct delivery *d, const struct spool_message *m, int64_t wall)
{
	int64_t since = spool_id_wall(m->id);

	if (m->queued_at < since)
		since = m->queued_at;
	return since <= wall - d->settings.notify_after_ms;
}

static void
on_listed(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct delivery *d = arg;
	const struct spool_message *m = messages;
	int64_t wall = clock_wall_ms();

	/* Reports of our own are not worth a word. */
	while (n > 1 && m->from[0] == '\0' && is_due(d, m, wall)) {
		m++;
		n--;
	}
	if (error != 0 || n == 0 || !is_due(d, m, wall)) {
		rest(d);
	} else if (m->from[0] == '\0') {
		spool_set_notice_mark(
		    d->spool, m->id, NULL, (struct str){NULL, 0}, on_marked, d);
	} else if (count_wanted(m) == 0 || d->notices.id == m->id) {
		report(d, m, wall);
	} else {
		d->notices.id = m->id;
		d->notices.whole = m->size <= BOUNCE_ORIGINAL_MAX;
		spool_read_body(d->spool, m->id, 0, on_header, d);
	}
}

static void
look(struct delivery *d)
{
	const struct spool_select all = {.all = true};

	if (d->draining || d->settings.notify_after_ms <= 0) {
		rest(d);
		return;
	}
	d->notices.busy = true;
	spool_list(d->spool, &all, spool_notice_mark(d->spool), LIST_MAX,
	    on_listed, d);
}
