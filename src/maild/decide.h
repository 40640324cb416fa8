/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decisions for programs that are no mail: instant messages, contact forms,
 * short messages. A program asks whether a source may reach destinations; the
 * gate answers as it does for mail, by the same policies. What has to wait has
 * its place in the source's queue, as mail has that was put off: when its turn
 * has come, an event tells, and who asks again passes. Event loop's thread.
 *
 * A source is called "APPLICATION:NAME", which is what `match` sees.
 */
#ifndef MAILD_DECIDE_H
#define MAILD_DECIDE_H

#include "control/api.h"
#include "gate/gate.h"
#include "net/worker.h"

#define DECIDE_DESTINATIONS_MAX 1000
#define DECIDE_OPEN_MAX 256        /* decisions that wait for a commit */
#define DECIDE_OPEN_MS 60000       /* then they are cancelled */
#define DECIDE_WAITING_MAX 10000   /* destinations whose turn is told */
#define DECIDE_REMEMBERED_MAX 1024 /* answers, by Idempotency-Key */
#define DECIDE_REMEMBERED_MS 600000
#define DECIDE_FILE "http-decisions.json" /* in the spool */

struct decider;

/* The turn of a destination has come. */
typedef void decide_turn_fn(
    void *arg, const char *source, const char *ticket, const char *destination);

struct decide_settings { /* all borrowed */
	struct loop *loop;
	struct gate *gate;
	struct events *events;
	struct log *log;
	const char *dir;         /* where DECIDE_FILE is read from, and kept */
	decide_turn_fn *on_turn; /* NULL: the event is enough */
	void *arg;
};

struct decider *decide_new(const struct decide_settings *settings);
/* Before the gate and behind the web: nothing is reserved any more. Takes
 * NULL. */
void decide_free(struct decider *d);

/* The gate's on_turn. */
void decide_turn(struct decider *d, const char *sender, uint64_t destination);

/* Handlers; api_arg gives the struct maild, of which they take the decider. */
void decide_post(struct web_exchange *x, int64_t now);
void decide_post_check(struct web_exchange *x, int64_t now);
void decide_post_commit(struct web_exchange *x, int64_t now);
void decide_post_cancel(struct web_exchange *x, int64_t now);
void decide_get_ticket(struct web_exchange *x, int64_t now);

#endif
