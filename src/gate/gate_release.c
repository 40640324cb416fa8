/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the schedule let go has left the throttle's queue; until the spool has
 * it as RELEASED it lives in an op here, and is tried again for as long as the
 * disk fails. After a crash the spool still has it as HELD and it is queued
 * anew: nothing is lost, at worst something waits twice.
 */
#include "gate/gate_internal.h"
#include "gate/gate_tier.h"

#include <errno.h>
#include <stdlib.h>

#define RELEASES_PER_RUN 1000

struct gate_release_op {
	struct list entry;
	struct gate *g;
	uint64_t *tickets;
	struct release_source {
		char *sender, *policy;
		uint32_t queue_length;
	} * sources; /* one for each ticket */
	size_t n, cap;
	int64_t wall;
	int64_t retry_at; /* INT64_MAX: with the spool */
	int64_t delay;
};

static void
op_free(struct gate_release_op *op)
{
	list_remove(&op->entry);
	for (size_t i = 0; i < op->n; i++) {
		free(op->sources[i].sender);
		free(op->sources[i].policy);
	}
	free(op->sources);
	free(op->tickets);
	free(op);
}

static struct gate_release_op *
op_new(struct gate *g)
{
	struct gate_release_op *op = xcalloc(1, sizeof(*op));

	op->g = g;
	op->retry_at = INT64_MAX;
	op->delay = GATE_RETRY_FIRST_MS;
	list_append(&g->releases, &op->entry);
	return op;
}

static void
op_add(struct gate_release_op *op, struct throttle_source *src, uint64_t ticket)
{
	char name[GATE_KEY_MAX];

	if (op->n == op->cap) {
		op->cap = op->cap > 0 ? op->cap * 2 : 16;
		op->tickets =
		    xrealloc(op->tickets, op->cap * sizeof(*op->tickets));
		op->sources =
		    xrealloc(op->sources, op->cap * sizeof(*op->sources));
	}
	op->tickets[op->n] = ticket;
	op->sources[op->n++] = (struct release_source){
	    .sender = xstrdup(source_name(src, name)),
	    .policy = xstrdup(source_policy(src)->conf->name),
	    .queue_length = source_queue(op->g, src),
	};
}

void
release_on_throttle(void *arg, struct throttle_source *src,
    uint64_t destination, uint64_t ticket)
{
	release_add(arg, src, destination, ticket, false);
}

void
release_add(struct gate *g, struct throttle_source *src, uint64_t destination,
    uint64_t ticket, bool is_familiar)
{
	char name[GATE_KEY_MAX];

	source_touch(g, src);
	if (ticket == 0) { /* observed, or put off: there is no mail */
		if (!is_familiar)
			spent_tell(g, src, 1, 0);
		if (g->callbacks->on_turn != NULL)
			g->callbacks->on_turn(
			    g->arg, source_name(src, name), destination);
		return;
	}
	reached_note(g, source_policy(src), str_from(source_name(src, name)),
	    destination, 0, g->wall);
	if (g->share_ops != NULL && g->callbacks->on_let_go != NULL)
		g->callbacks->on_let_go(g->arg, source_name(src, name), ticket);
	if (!is_familiar) {
		source_note_passed(source_data(src), g->now);
		spent_tell(g, src, 1, 0);
	}
	if (g->collecting == NULL)
		g->collecting = op_new(g);
	op_add(g->collecting, src, ticket);
}

static void
tell(const struct gate_release_op *op)
{
	for (size_t i = 0; i < op->n; i++) {
		struct gate_news news = {
		    .type = EVENT_RELEASE,
		    .sender = op->sources[i].sender,
		    .policy = op->sources[i].policy,
		    .ticket = op->tickets[i],
		    .why = "its turn has come",
		    .queue_length = op->sources[i].queue_length,
		};

		gate_tell(op->g, op->wall, &news);
	}
}

static void
on_released(void *arg, int error)
{
	struct gate_release_op *op = arg;
	struct gate *g = op->g;

	if (error != 0 && error != ENOENT) {
		gate_tell_error(g, "release", op->sources[0].sender, error);
		gate_retry_later(g, &op->retry_at, &op->delay);
		gate_changed(g);
		return;
	}
	/* ENOENT: an administrator was faster with all of them. */
	if (error == 0) {
		counters_add(g->counters, COUNT_RELEASED_RECIPIENTS, op->n);
		for (size_t i = 0; i < op->n; i++)
			counters_observe(g->counters, HISTOGRAM_HELD,
			    op->wall - spool_id_wall(op->tickets[i]));
		tell(op);
		if (g->callbacks->on_released != NULL)
			g->callbacks->on_released(g->arg);
	}
	op_free(op);
	gate_changed(g);
}

static void
op_send(struct gate_release_op *op, int64_t wall)
{
	op->retry_at = INT64_MAX;
	op->wall = wall;
	spool_release_tickets(
	    op->g->spool, op->tickets, op->n, wall, on_released, op);
}

void
release_retry(struct gate *g, int64_t now, int64_t wall)
{
	struct list *e, *next;

	list_each_safe (e, next, &g->releases) {
		struct gate_release_op *op =
		    LIST_ITEM(e, struct gate_release_op, entry);

		if (op->retry_at > now)
			gate_retry_at(g, op->retry_at);
		else
			op_send(op, wall);
	}
}

static void
note_let_go(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	warn_source(g, src, now, wall);
	habit_look(g, src, now, wall);
}

/* In the releases' own commit, or before it: a crash gives no tick back. */
static void
save_sources(const struct gate_release_op *op, int64_t now, int64_t wall)
{
	for (size_t i = 0; i < op->n; i++) {
		struct throttle_source *src =
		    source_find(op->g, str_from(op->sources[i].sender));

		if (src != NULL)
			note_let_go(op->g, src, now, wall);
		if (src != NULL && !list_is_empty(&source_data(src)->dirty))
			source_save(op->g, src, now, wall);
	}
}

void
release_run(struct gate *g, int64_t now, int64_t wall)
{
	struct gate_release_op *op;

	g->wall = wall;
	throttle_run(g->throttle, now, RELEASES_PER_RUN);
	throttle_run(g->familiar, now, RELEASES_PER_RUN);
	op = g->collecting;
	g->collecting = NULL;
	if (op == NULL)
		return;
	gate_scope_save(g, NULL, SIZE_MAX, now, wall);
	save_sources(op, now, wall);
	warn_scopes(g, now, wall);
	op_send(op, wall);
}

void
release_clear(struct gate *g)
{
	while (!list_is_empty(&g->releases))
		op_free(
		    LIST_ITEM(g->releases.next, struct gate_release_op, entry));
}
