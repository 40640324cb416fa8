/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The administrator's changes. The spool goes first, in batches; what it
 * changed then leaves the queues. It is also what serialises an administrator
 * with the schedule: a ticket that was let go a moment ago is no longer HELD
 * there, and one that left the queue twice does no harm here.
 *
 * Forgetting whom a sender knows goes by memory first: it comes back with the
 * next mail in any case.
 *
 * Thaw with release or discard does that first and thaws after it, so that
 * nothing of what is to be discarded gets out in between.
 */
#include "gate/gate_internal.h"
#include "gate/gate_recall.h"
#include "gate/gate_tier.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHO_SHOWN 384 /* bytes; with the relay at which it was said */
#define DETAIL_MAX (64 + GATE_NOTE_MAX)

struct gate_admin_op {
	struct list entry;
	struct gate *g;
	bool is_release; /* else a discard */
	bool is_named;   /* by queue ids */
	bool is_flush;   /* a release of what is released and waits */
	bool is_gone;    /* a discard of what has gone by other hands */
	bool is_thaw;
	bool is_over; /* a thaw by time */
	enum gate_thaw then;
	char *sender; /* thaw: the key */
	char *who;
	char *reason; /* of a thaw; NULL: none */
	uint64_t count;
	int64_t wall, answer_at;
	bool is_answered;
	gate_done_fn *fn;
	void *arg;
};

static struct gate_admin_op *
op_new(struct gate *g, const char *who, int64_t now, int64_t wall,
    gate_done_fn *fn, void *arg)
{
	struct gate_admin_op *op = xcalloc(1, sizeof(*op));

	g->now = now;
	op->g = g;
	op->who = xstrdup(who);
	op->wall = wall;
	op->answer_at = now + GATE_ANSWER_MS;
	op->fn = fn;
	op->arg = arg;
	list_append(&g->admin, &op->entry);
	return op;
}

static void
op_free(struct gate_admin_op *op)
{
	list_remove(&op->entry);
	free(op->sender);
	free(op->who);
	free(op->reason);
	free(op);
}

static const char *action_of(const struct gate_admin_op *op);

/* Nobody waits for hundreds of thousands. A thaw whose queue goes first is
 * answered ahead of the thaw itself. */
static void
answer_early(struct gate_admin_op *op)
{
	if (op->is_answered || op->fn == NULL || op->g->now < op->answer_at)
		return;
	op->is_answered = true;
	op->fn(op->arg, EINPROGRESS, op->count);
}

static void
tell_drained(struct gate *g)
{
	void (*fn)(void *arg) = g->on_drained;

	if (fn == NULL || !list_is_empty(&g->admin))
		return;
	g->on_drained = NULL;
	fn(g->drained_arg);
}

static void
op_end(struct gate_admin_op *op, int error)
{
	struct gate *g = op->g;

	/* A thaw that failed released or discarded all the same. */
	if (op->is_answered)
		log_write(g->log, LOG_EV_GATE_CHANGED, KV(by, op->who),
		    KV(action,
			op->is_thaw && error == 0 ? "thaw" : action_of(op)),
		    KV(recipients, op->count));
	else if (op->fn != NULL)
		op->fn(op->arg, error, op->count);
	op_free(op);
	gate_changed(g);
	tell_drained(g);
}

void
gate_drain(struct gate *g, void (*fn)(void *arg), void *arg)
{
	g->on_drained = fn;
	g->drained_arg = arg;
	tell_drained(g);
}

void
admin_clear(struct gate *g)
{
	while (!list_is_empty(&g->admin)) {
		struct gate_admin_op *op =
		    LIST_ITEM(g->admin.next, struct gate_admin_op, entry);

		/* Its administrator was told that it follows. */
		if (op->is_answered && op->is_thaw)
			gate_tell_error(g, "thaw", op->sender, ECANCELED);
		op_free(op);
	}
}

void
gate_set_now(struct gate *g, int64_t now)
{
	if (now > g->now)
		g->now = now;
}

bool
admin_is_thawing(const struct gate *g, const char *sender)
{
	const struct list *e;

	list_each (e, &g->admin) {
		const struct gate_admin_op *op =
		    LIST_ITEM(e, struct gate_admin_op, entry);

		if (op->is_thaw && strcmp(op->sender, sender) == 0)
			return true;
	}
	return false;
}

/* ---- rows that the spool changed ---- */

struct ticket_set {
	const struct spool_row *const *rows; /* by ticket */
	size_t n;
};

static int
compare_rows(const void *a, const void *b)
{
	const struct spool_row *x = *(const struct spool_row *const *)a;
	const struct spool_row *y = *(const struct spool_row *const *)b;
	int order = strcmp(x->source, y->source);

	if (order != 0)
		return order;
	return (x->ticket > y->ticket) - (x->ticket < y->ticket);
}

static bool
is_in_set(void *arg, uint64_t destination, uint64_t ticket)
{
	const struct ticket_set *set = arg;
	size_t low = 0, high = set->n;

	(void)destination;
	/* Most of a long queue is not near it. */
	if (ticket < set->rows[0]->ticket ||
	    ticket > set->rows[set->n - 1]->ticket)
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->rows[middle]->ticket < ticket)
			low = middle + 1;
		else
			high = middle;
	}
	return low < set->n && set->rows[low]->ticket == ticket;
}

static const char *
admin_done(const struct gate_admin_op *op)
{
	if (op->is_gone)
		return "found gone";
	return op->is_release ? "released" : "discarded";
}

static void
tell_row(const struct gate_admin_op *op, const struct spool_row *row,
    struct throttle_source *src)
{
	char why[WHO_SHOWN + 64];
	struct gate_news news = {
	    .type = op->is_release ? EVENT_RELEASE : EVENT_DISCARD,
	    .sender = row->source,
	    .policy = src != NULL ? source_policy(src)->conf->name : "",
	    .address = row->address,
	    .ticket = row->ticket,
	    .why = why,
	    .queue_length = src != NULL ? source_queue(op->g, src) : 0,
	};

	snprintf(
	    why, sizeof(why), "%s by %.*s", admin_done(op), WHO_SHOWN, op->who);
	gate_tell(op->g, op->wall, &news);
}

/* Other relays may know them from before the start. */
static void
note_unloaded(struct gate *g, struct throttle_source *src,
    const struct spool_row *const *rows, size_t n)
{
	bool noted[SHARE_LANES] = {false};

	for (size_t i = 0; i < n; i++) {
		enum share_lane lane = rows[i]->lane == GATE_LANE_FAMILIAR
					   ? SHARE_FAMILIAR
					   : SHARE_NEW;

		if (!noted[lane])
			shared_note_removed(g, src, lane);
		noted[lane] = true;
	}
}

/* Rows of one source, by ticket: one pass over its queue. */
static void
apply_source(const struct gate_admin_op *op,
    const struct spool_row *const *rows, size_t n)
{
	struct gate *g = op->g;
	struct throttle_source *src = source_find(g, str_from(rows[0]->source));
	struct ticket_set set = {rows, n};

	if (src != NULL) {
		tier_remove(g, src, is_in_set, &set, n);
		if (source_data(src)->load != LOAD_DONE)
			note_unloaded(g, src, rows, n);
		for (size_t i = 0; op->is_release && i < n; i++) {
			throttle_learn(
			    g->throttle, src, rows[i]->destination, g->now);
			if (rows[i]->lane != GATE_LANE_FAMILIAR)
				source_note_passed(source_data(src), g->now);
			reached_note(g, source_policy(src),
			    str_from(rows[i]->source), rows[i]->destination,
			    known_site(g, source_policy(src),
				str_from(rows[i]->address)),
			    op->wall);
		}
		source_touch(g, src);
	}
	for (size_t i = 0; i < n; i++)
		tell_row(op, rows[i], src);
}

static void
apply_rows(struct gate_admin_op *op, const struct spool_row *rows, size_t n)
{
	const struct spool_row **sorted = xcalloc(n, sizeof(const void *));
	struct gate *g = op->g;
	size_t end;

	/* What was due again later has left the queues before; of a release it
	 * counts where it was named. */
	for (size_t i = end = 0; i < n; i++) {
		if (!op->is_release || rows[i].was == SPOOL_HELD)
			sorted[end++] = &rows[i];
	}
	op->count += op->is_flush || op->is_named ? n : end;
	n = end;
	qsort(sorted, n, sizeof(const void *), compare_rows);
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && strcmp(sorted[end]->source,
						 sorted[i]->source) == 0;)
			end++;
		apply_source(op, sorted + i, end - i);
	}
	for (size_t i = 0; op->is_release && i < n; i++)
		counters_observe(g->counters, HISTOGRAM_HELD,
		    op->wall - spool_id_wall(sorted[i]->ticket));
	free(sorted);
	if (!op->is_gone)
		counters_add(g->counters,
		    op->is_release ? COUNT_RELEASED_RECIPIENTS
				   : COUNT_DISCARDED_RECIPIENTS,
		    n);
	if (g->callbacks->on_released != NULL)
		g->callbacks->on_released(g->arg);
}

/* ---- release and discard ---- */

static void thaw_durably(struct gate_admin_op *op);

static const char *
action_of(const struct gate_admin_op *op)
{
	if (op->is_gone)
		return "gone";
	if (op->is_flush)
		return "flush";
	return op->is_release ? "release" : "discard";
}

/* Who named messages by their ids, and whose they are. */
static void
tell_named(
    const struct gate_admin_op *op, const struct spool_row *rows, size_t n)
{
	char whose[SPOOL_WHOSE_MAX];

	log_write(op->g->log, LOG_EV_GATE_NAMED, KV(by, op->who),
	    KV(action, action_of(op)), KV(sender, spool_whose(rows, n, whose)));
}

static void
on_rows(void *arg, int error, const struct spool_row *rows, size_t n, bool last)
{
	struct gate_admin_op *op = arg;
	struct gate *g = op->g;

	if (error == 0 && n > 0 && op->count == 0 && op->is_named)
		tell_named(op, rows, n);
	if (error == 0 && n > 0)
		apply_rows(op, rows, n);
	if (error != 0) {
		gate_tell_error(g, action_of(op),
		    op->sender != NULL ? op->sender : "", error);
		op_end(op, error);
	} else if (last && op->is_thaw) {
		thaw_durably(op);
	} else if (last) {
		op_end(op, 0);
	} else {
		answer_early(op);
		gate_changed(g);
	}
}

static void
add_detail(char *out, size_t cap, const char *words, const char *value)
{
	size_t n = strlen(out);

	if (value != NULL && n < cap)
		snprintf(out + n, cap - n, "%s%s%s", n > 0 ? ", " : "", words,
		    value);
}

/* The selection in words, for the audit log. */
static void
describe(const struct spool_select *select, char *target, size_t target_cap,
    char *detail, size_t detail_cap)
{
	char id[SPOOL_ID_TEXT], time[UNITS_TEXT_MAX];

	detail[0] = '\0';
	if (select->id_count > 1)
		snprintf(target, target_cap, "%s and %zu more",
		    spool_id_format(select->ids[0], id), select->id_count - 1);
	else if (select->id_count == 1)
		snprintf(target, target_cap, "%s",
		    spool_id_format(select->ids[0], id));
	else
		snprintf(target, target_cap, "%s",
		    select->source != NULL ? select->source : "all");
	add_detail(detail, detail_cap, "recipient ", select->recipient);
	if (select->queued_before != 0)
		add_detail(detail, detail_cap, "before ",
		    units_format_time(select->queued_before, time));
	if (select->queued_after != 0)
		add_detail(detail, detail_cap, "after ",
		    units_format_time(select->queued_after, time));
	add_detail(detail, detail_cap, "subject ", select->subject);
	if (select->size_min != 0)
		add_detail(detail, detail_cap, "at least ",
		    units_format_size(select->size_min, time));
	if (select->size_max != 0)
		add_detail(detail, detail_cap, "at most ",
		    units_format_size(select->size_max, time));
	add_detail(detail, detail_cap, "domain ", select->domain);
	add_detail(detail, detail_cap, "reason: ", select->reason);
}

/* select->source is what people type; the spool knows keys. */
static void
send_select(struct gate_admin_op *op, const struct spool_select *select)
{
	struct gate *g = op->g;
	struct spool_select wanted = *select;
	char target[GATE_KEY_MAX], detail[GATE_KEY_MAX], key[GATE_KEY_MAX];
	struct spool_audit audit = {
	    .at = op->wall,
	    .who = op->who,
	    .action = action_of(op),
	    .target = target,
	    .detail = detail,
	};

	op->is_named = select->id_count > 0 && !op->is_gone;
	if (select->source != NULL) {
		source_resolve(g, str_from(select->source), key);
		wanted.source = key;
	}
	describe(&wanted, target, sizeof(target), detail, sizeof(detail));
	if (op->is_flush)
		spool_flush(g->spool, &wanted, op->wall, &audit, on_rows, op);
	else if (op->is_release)
		spool_release(g->spool, &wanted, op->wall, &audit, on_rows, op);
	else
		spool_discard(g->spool, &wanted, &audit, on_rows, op);
}

void
gate_release(struct gate *g, const struct spool_select *select, const char *who,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg)
{
	struct gate_admin_op *op = op_new(g, who, now, wall, fn, arg);

	op->is_release = true;
	send_select(op, select);
}

void
gate_flush(struct gate *g, const struct spool_select *select, const char *who,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg)
{
	struct gate_admin_op *op = op_new(g, who, now, wall, fn, arg);

	op->is_release = op->is_flush = true;
	send_select(op, select);
}

void
gate_discard(struct gate *g, const struct spool_select *select, const char *who,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg)
{
	send_select(op_new(g, who, now, wall, fn, arg), select);
}

void
gate_mta_forgot(struct gate *g, const uint64_t *ids, size_t n, int64_t now,
    int64_t wall, gate_done_fn *fn, void *arg)
{
	struct spool_select select = {.ids = ids, .id_count = n, .gone = true};
	struct gate_admin_op *op =
	    op_new(g, "queue_command", now, wall, fn, arg);

	op->is_gone = true;
	send_select(op, &select);
}

/* ---- thaw ---- */

static const char *
describe_thaw(const struct gate_admin_op *op, char *out, size_t cap)
{
	if (op->is_over)
		snprintf(out, cap, "the time of its freeze is over");
	else if (op->then == GATE_THAW_KEEP)
		snprintf(out, cap, "queue kept");
	else
		snprintf(out, cap, "%" PRIu64 " recipients %s", op->count,
		    op->then == GATE_THAW_RELEASE ? "released" : "discarded");
	add_detail(out, cap, "reason: ", op->reason);
	return out;
}

static void
thaw_in_memory(struct gate_admin_op *op, struct throttle_source *src)
{
	struct gate *g = op->g;
	char detail[DETAIL_MAX], why[DETAIL_MAX + WHO_SHOWN + 64];
	struct gate_news news = {
	    .type = EVENT_THAW,
	    .sender = op->sender,
	    .policy = source_policy(src)->conf->name,
	    .why = why,
	};

	if (!freeze_is_on(src))
		return;
	/* What was put off without mail would become known by and by. */
	if (op->then == GATE_THAW_DISCARD)
		freeze_drop_observed(g, src);
	throttle_thaw(g->throttle, src, g->now);
	freeze_set_at(g, src, 0);
	source_touch(g, src);
	news.queue_length = source_queue(g, src);
	snprintf(why, sizeof(why), "thawed by %.*s, %s", WHO_SHOWN, op->who,
	    describe_thaw(op, detail, sizeof(detail)));
	gate_tell(g, op->wall, &news);
}

static void
on_thawed(void *arg, int error)
{
	struct gate_admin_op *op = arg;
	struct throttle_source *src = source_find(op->g, str_from(op->sender));

	if (error != 0) {
		gate_tell_error(op->g, "thaw", op->sender, error);
		if (op->is_over)
			hand_thaw_failed(op->g, op->sender);
	} else if (src != NULL) {
		thaw_in_memory(op, src);
	}
	if (error == 0 && op->g->callbacks->on_thawed != NULL)
		op->g->callbacks->on_thawed(
		    op->g->arg, &(struct gate_thawed){.sender = op->sender,
				    .who = op->who,
				    .then = op->then,
				    .at = op->wall});
	/* What the freeze had stopped goes on. */
	if (error == 0 && op->g->callbacks->on_released != NULL)
		op->g->callbacks->on_released(op->g->arg);
	op_end(op, error);
}

static void
thaw_durably(struct gate_admin_op *op)
{
	char detail[DETAIL_MAX];
	struct spool_audit audit = {
	    .at = op->wall,
	    .who = op->who,
	    .action = "thaw",
	    .target = op->sender,
	    .detail = describe_thaw(op, detail, sizeof(detail)),
	};

	struct spool_source row = {.key = op->sender,
	    .frozen_at = op->wall,
	    .discards = op->then == GATE_THAW_DISCARD};

	spool_set_frozen(op->g->spool, &row, &audit, on_thawed, op);
}

void
gate_thaw_by(struct gate *g, const struct gate_thaw_order *order, int64_t now,
    int64_t wall, gate_done_fn *fn, void *arg)
{
	struct throttle_source *src = source_guess(g, str_from(order->sender));
	struct spool_select select = {0};
	struct gate_admin_op *op;
	char key[GATE_KEY_MAX];

	if (src == NULL) {
		fn(arg, ENOENT, 0);
		return;
	}
	op = op_new(g, order->who, now, wall, fn, arg);
	op->is_thaw = true;
	op->then = order->then;
	op->is_release = order->then == GATE_THAW_RELEASE;
	op->sender = xstrdup(source_name(src, key));
	if (order->reason != NULL)
		op->reason = xstrdup(order->reason);
	select.source = op->sender;
	if (order->then == GATE_THAW_KEEP)
		thaw_durably(op);
	else
		send_select(op, &select);
}

void
gate_thaw(struct gate *g, const char *sender, enum gate_thaw then,
    const char *who, int64_t now, int64_t wall, gate_done_fn *fn, void *arg)
{
	gate_thaw_by(g,
	    &(struct gate_thaw_order){
		.sender = sender, .then = then, .who = who},
	    now, wall, fn, arg);
}

void
admin_thaw_in_time(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	struct gate_admin_op *op = op_new(g, "weir", now, wall, NULL, NULL);
	char key[GATE_KEY_MAX];

	op->is_thaw = op->is_over = true;
	op->sender = xstrdup(source_name(src, key));
	thaw_durably(op);
}

/* ---- whom a sender knows ---- */

/* Writes end in their order: the rows were written before the entry. */
static void
on_saved(void *arg, int error)
{
	struct gate_admin_op *op = arg;
	struct acquaintances_stats stats;

	acquaintances_stats(op->g->acquaintances, &stats);
	op_end(op, error == 0 && stats.is_failing ? EIO : error);
}

struct forgetting {
	struct recall recall;
	struct gate_admin_op *op;
};

static void
forgetting_free(struct recall *r)
{
	free(CONTAINER_OF(r, struct forgetting, recall));
}

static void
forget(struct forgetting *f, bool is_read)
{
	struct gate_admin_op *op = f->op;
	struct gate *g = op->g;
	char detail[96];
	struct spool_audit audit = {
	    .at = op->wall,
	    .who = op->who,
	    .action = "forget",
	    .target = f->recall.key,
	    .detail = detail,
	};
	struct acquaintance_tally known = {0};

	if (is_read && !acquaintances_tally(g->acquaintances,
			   str_from(f->recall.key), 0, op->wall, &known))
		known.total = 0; /* no memory to keep it in */
	op->count = known.total;
	if (g->remembers && g->callbacks->on_forgotten != NULL)
		g->callbacks->on_forgotten(g->arg, f->recall.key);
	/* A row that the disk does not give is replaced as well. */
	if (op->count == 0 && (is_read || !g->remembers)) {
		op_end(op, ENOENT);
		return;
	}
	snprintf(detail, sizeof(detail),
	    "%u addresses remembered, %u of them only from incoming mail",
	    (unsigned)known.total, (unsigned)known.met);
	if (g->remembers) {
		acquaintances_forget(
		    g->acquaintances, str_from(f->recall.key), op->wall);
		acquaintances_save(g->acquaintances, op->wall);
	}
	spool_audit_add(g->spool, &audit, on_saved, op);
}

static void
on_recalled(struct recall *r, bool is_read)
{
	struct forgetting *f = CONTAINER_OF(r, struct forgetting, recall);

	forget(f, is_read);
	forgetting_free(r);
}

void
gate_forget(struct gate *g, const char *sender, const char *who, int64_t now,
    int64_t wall, gate_done_fn *fn, void *arg)
{
	struct forgetting *f = xcalloc(1, sizeof(*f));

	f->recall.fn = on_recalled;
	f->recall.drop = forgetting_free;
	f->op = op_new(g, who, now, wall, fn, arg);
	recall_begin_name(g, str_from(sender), wall, &f->recall);
}

void
admin_learn(struct gate *g, const char *who, uint64_t count, int64_t wall,
    gate_done_fn *fn, void *arg)
{
	struct gate_admin_op *op = op_new(g, who, g->now, wall, fn, arg);
	char detail[64];
	struct spool_audit audit = {
	    .at = wall,
	    .who = who,
	    .action = "learn",
	    .target = "",
	    .detail = detail,
	};

	op->count = count;
	snprintf(detail, sizeof(detail), "%" PRIu64 " acquaintances", count);
	acquaintances_save(g->acquaintances, wall);
	if (count > 0)
		spool_audit_add(g->spool, &audit, on_saved, op);
	else
		op_end(op, 0);
}
