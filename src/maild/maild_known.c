/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom senders know, passed on between the relays of a site (share/learns.h).
 * The place in the stream is stored behind the rows that came of it: after a
 * crash some of it is read again, which changes nothing.
 */
#include "maild/maild_internal.h"

#include "gate/acquaintance_set.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

#define SAVE_EVERY_MS 20000
#define SAVE_AGAIN_MS 1000

/* A message that was let go; its recipient is looked up. */
struct known_op {
	struct list entry;
	struct maild *m;
	char *sender;
	uint64_t ticket, id;
};

static void
op_free(struct known_op *op)
{
	list_remove(&op->entry);
	free(op->sender);
	free(op);
}

/* ---- from here ---- */

static struct learns_record
record_of(const struct gate_known_news *news)
{
	bool is_met = (news->why & ~ACQUAINTANCE_MET) == 0;

	return (struct learns_record){
	    .what = is_met ? LEARNS_MET : LEARNS_KNOWS,
	    .destination = news->site,
	    .why = (uint8_t)news->why,
	    .day = news->day,
	    .domain = news->domain,
	    .network = news->network,
	    .sender = str_from(news->sender),
	    .own = news->own,
	};
}

void
maild_known(struct maild *m, const struct gate_known_news *news)
{
	const struct learns_record r = record_of(news);

	if (m->learns != NULL)
		learns_note(m->learns, &r);
}

bool
maild_met(struct maild *m, const struct gate_known_news *news)
{
	const struct learns_record r = record_of(news);
	const struct learns_rate rate = {
	    news->rate.count, news->rate.window_ms};

	if (m->learns == NULL)
		return false;
	if (rate.count > 0 && learns_ask(m->learns, &r, &rate))
		return true;
	learns_note(m->learns, &r);
	return false;
}

void
maild_forgotten(struct maild *m, const char *sender)
{
	if (m->learns == NULL)
		return;
	learns_note(m->learns, &(struct learns_record){.what = LEARNS_FORGET,
				   .day = acquaintance_day(clock_wall_ms()),
				   .sender = str_from(sender)});
}

static void
on_message(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct known_op *op = arg;
	struct maild *m = op->m;

	if (error == 0 && n > 0 && m->learns != NULL) {
		for (size_t i = 0; i < messages[0].rcpt_count; i++) {
			const struct spool_rcpt *r = &messages[0].rcpts[i];

			if (r->ticket == op->ticket)
				gate_note_sent(m->gate, op->sender, r->address,
				    clock_wall_ms());
		}
	}
	op_free(op);
}

void
maild_let_go(struct maild *m, const char *sender, uint64_t ticket)
{
	struct spool_select select = {.id_count = 1};
	struct known_op *op;

	if (m->learns == NULL)
		return;
	op = xcalloc(1, sizeof(*op));
	op->m = m;
	op->sender = xstrdup(sender);
	op->ticket = ticket;
	op->id = SPOOL_ID(ticket);
	select.ids = &op->id;
	list_append(&m->known_ops, &op->entry);
	/* Before it can have been delivered, and its row be gone. */
	spool_list(m->spool, &select, 0, 1, on_message, op);
}

/* ---- from others ---- */

/* One kind of record does not pass for the other. */
static struct gate_known_news
news_of(const struct learns_record *r, const char *sender)
{
	unsigned all =
	    r->what == LEARNS_KNOWS ? ~ACQUAINTANCE_MET : ACQUAINTANCE_MET;

	return (struct gate_known_news){
	    .sender = sender,
	    .site = r->destination,
	    .why = r->why & all,
	    .day = r->day,
	    .domain = r->domain,
	    .network = r->network,
	    .is_counted = r->what == LEARNS_MET_COUNTED,
	    .own = r->own,
	};
}

static void
on_record(void *arg, const struct learns_record *r)
{
	struct maild *m = arg;
	char *sender = str_dup(r->sender);
	int64_t wall = clock_wall_ms();

	counters_add(&m->counters, COUNT_SHARED_LEARNT, 1);
	if (r->what == LEARNS_FORGET) {
		if (gate_forgotten_elsewhere(m->gate, sender, r->day, wall))
			learns_drop(m->learns, r->sender);
	} else {
		struct gate_known_news news = news_of(r, sender);

		gate_known_elsewhere(m->gate, &news, wall);
	}
	free(sender);
}

static void
on_answer(void *arg, const struct learns_record *r, bool is_known)
{
	struct maild *m = arg;
	char *sender = str_dup(r->sender);
	struct gate_known_news news = news_of(r, sender);

	if (is_known)
		gate_met(m->gate, &news, clock_wall_ms());
	else
		gate_not_met(m->gate);
	free(sender);
}

static void
on_gap(void *arg, uint64_t missed)
{
	struct maild *m = arg;

	const char *why = missed > 0 ? "they were passed on while this relay "
				       "was away, and the server has dropped "
				       "them"
				     : "the server was emptied, or is another "
				       "one";

	log_write(m->log, LOG_EV_SHARED_LEARNT_GAP, KV(count, missed),
	    KV(reason, why));
}

static void
on_full(void *arg)
{
	struct maild *m = arg;

	log_write(m->log, LOG_EV_SHARED_LEARNT_FULL,
	    KV(count, (uint64_t)LEARNS_WAITING_MAX));
}

static const struct learns_ops ops = {
    .on_record = on_record,
    .on_gap = on_gap,
    .on_full = on_full,
    .on_answer = on_answer,
};

/* False: it cannot be stored yet. */
static bool
save(struct maild *m)
{
	struct stream_mark mark = learns_mark(m->learns);
	struct spool_mark was = spool_stream_mark(m->spool);

	if (mark.epoch == was.epoch && mark.at == was.at)
		return true;
	if (!gate_save_known(m->gate, clock_wall_ms())) {
		/* Else a relay that ends now would take itself for a new one,
		 * which misses nothing. */
		if (mark.epoch != was.epoch)
			spool_set_stream_mark(
			    m->spool, (struct spool_mark){mark.epoch, 0});
		return false;
	}
	spool_set_stream_mark(
	    m->spool, (struct spool_mark){mark.epoch, mark.at});
	return true;
}

static void
on_save(void *arg, int64_t now)
{
	struct maild *m = arg;

	loop_timer_set(
	    &m->known_timer, now + (save(m) ? SAVE_EVERY_MS : SAVE_AGAIN_MS));
}

/* ---- the daemon's side ---- */

void
maild_known_start(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	struct spool_mark mark = spool_stream_mark(m->spool);

	list_init(&m->known_ops);
	m->learns = learns_new(m->loop, freezes_link(m->freezes),
	    freezes_seal(m->freezes), conf->shared_prefix, conf->hostname,
	    (struct stream_mark){mark.epoch, mark.at}, &ops, m);
	loop_timer_init(&m->known_timer, m->loop, on_save, m);
	loop_timer_set(&m->known_timer, loop_now(m->loop) + SAVE_EVERY_MS);
}

void
maild_known_stop(struct maild *m)
{
	if (m->learns == NULL)
		return;
	if (m->gate != NULL)
		(void)save(m);
	loop_timer_clear(&m->known_timer);
	learns_free(m->learns);
	m->learns = NULL;
}

void
maild_known_clear(struct maild *m)
{
	if (m->known_ops.next == NULL) /* it was not started */
		return;
	while (!list_is_empty(&m->known_ops))
		op_free(LIST_ITEM(m->known_ops.next, struct known_op, entry));
}
