/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weir-maild's gate would do, on a clock that the caller turns: the same
 * gate, throttle and spool, with this as front and as next hop. It asks as the
 * relay asks, stores what is held, and delivers at once what is let go. The
 * spool lies in a temporary directory and goes with it.
 *
 * Times are milliseconds since the world began. Nothing here decides anything.
 */
#ifndef REPLAY_WORLD_H
#define REPLAY_WORLD_H

#include "base/err.h"
#include "gate/gate.h"

struct world;

struct world_callbacks {
	/* What was held has been let go, and went out. */
	void (*on_delivered)(void *arg, uint64_t label);
	void (*on_freeze)(void *arg, const struct gate_freeze *freeze);
};

struct world_settings {
	struct gate_settings gate; /* taken as gate_new does */
	uint32_t held_max;         /* of the spool */
	uint64_t body_memory_bytes;
	bool verify_held; /* the next hop is asked about held ones too */
	struct log *log;  /* borrowed; NULL: none */
};

/* NULL: why in err, and a sysexits status. callbacks is borrowed. */
struct world *world_new(const struct world_settings *settings,
    const struct world_callbacks *callbacks, void *arg, struct err *err,
    int *status);
void world_free(struct world *w); /* takes NULL */
/* What the disk refused; NULL: nothing, and so all figures are right. */
const char *world_error(const struct world *w);

int64_t world_now(const struct world *w);
/* Lets everything happen that is due by then. A time that has passed: now. */
void world_advance(struct world *w, int64_t at);
/* Recipients held or on their way out. */
uint64_t world_waiting(const struct world *w);
/* When the gate is due; INT64_MAX: never. */
int64_t world_next_due(const struct world *w);

enum world_end {
	WORLD_PASSED,
	WORLD_HELD,     /* on_delivered comes, or never */
	WORLD_TEMPFAIL, /* 4xx: its client keeps it */
	WORLD_REJECTED  /* 5xx */
};

struct world_mail {
	struct gate_facts facts;
	const struct str *addresses;
	const uint64_t *labels; /* for on_delivered */
	const bool *unknown;    /* to the next hop; NULL: it knows all */
	size_t count;
};

/* One transaction, now. What became of each recipient in ends. Returns the
 * source's key, borrowed until the next call. */
const char *world_send(
    struct world *w, const struct world_mail *mail, enum world_end *ends);

/* ---- several transactions at once ---- */

/* A transaction of its own, step by step, as a front end takes them. */
struct world_txn;

enum world_how { WORLD_COMMIT, WORLD_CANCEL, WORLD_DOUBT, WORLD_DEFER };

struct world_txn *world_begin(struct world *w, const struct gate_facts *facts);
enum throttle_verdict world_ask_sender(struct world *w, struct world_txn *t);
enum throttle_verdict world_ask_secure(struct world *w, struct world_txn *t);
/* stays: see gate_next_stays. */
enum throttle_verdict world_ask_recipient(
    struct world *w, struct world_txn *t, struct str address, bool stays);
/* The last recipient is none. reply NULL: no next hop said so. */
void world_drop(struct world *w, struct world_txn *t,
    const struct gate_reply *reply, bool for_room);
/* DOUBT: as if all that passed were reached. Frees t. */
void world_end(struct world *w, struct world_txn *t, enum world_how how);

/* The policy of the last mail, borrowed until the next. */
const char *world_policy(const struct world *w);
/* See gate_assume_known. */
void world_assume_known(
    struct world *w, const struct gate_facts *facts, struct str address);

void world_thaw(struct world *w, const char *source);
/* What waits of it goes without being delivered. */
void world_discard(struct world *w, const char *source);

#endif
