/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plays a trace, and attacks on top of it, through the gate (world.h), and
 * notes what became of it. Clients behave as Postfix does: what is refused for
 * now is tried again, after as long as the message has been waiting already,
 * 300 s at least and 4000 s at most, for five days. Somebody looks after an
 * hour at who was frozen, and thaws with --release; attacked accounts stay
 * frozen.
 *
 * Who is a user or in the organisation logs in. Everybody else writes in from
 * outside. Times are milliseconds since the trace began.
 */
#ifndef REPLAY_REPLAY_H
#define REPLAY_REPLAY_H

#include "replay/attack.h"
#include "replay/trace.h"
#include "replay/world.h"

#include <signal.h>

#define REPLAY_FIRST_DAYS_MS (30 * 86400 * INT64_C(1000))
#define REPLAY_MANY 10 /* recipients; a message to more is one to many */

enum replay_cause {       /* the first of these that is true */
	REPLAY_FORGOTTEN, /* written to before */
	REPLAY_MANY_IN_ONE,
	REPLAY_FIRST_DAYS, /* of the sender in the trace */
	REPLAY_BUSY,
	REPLAY_CAUSES
};

/* A recipient that did not pass at once. */
struct replay_wait {
	uint32_t message;
	enum replay_cause cause;
	int64_t until; /* when it went, or was given up */
	bool is_open, is_lost;
};

struct replay_freeze {
	int64_t at;
	uint32_t sender;
	uint32_t queue_length;
	char *reason;
};

struct replay_reached {
	uint32_t strangers, known;
};

struct replay_attack {
	const struct attack_plan *plan;
	int64_t started;
	int64_t frozen_after; /* ms since its start; -1: not within a day */
	char *reason;
	struct replay_reached at_freeze, after_day;
};

/* Of all accounts of an outbreak. */
struct replay_outbreak {
	const struct attack_plan *plan; /* NULL: there was none */
	int64_t started;
	uint32_t accounts, frozen;
	int64_t median_after, last_after; /* ms to the freeze, of the frozen */
	char *reason;                     /* of the first freeze; NULL: none */
	struct replay_reached reached;    /* within a day */
};

/* A decoy in the address books of an outbreak (`decoys`): what is to find it
 * must name it. */
extern const char stolen_decoy[];

/* Who is behind the trace's numbers. What is borrowed lasts until the end. */
struct replay_people {
	void *arg;
	/* Of the message as its server got it. */
	void (*facts)(void *arg, uint32_t message, struct gate_facts *out);
	struct str (*address)(void *arg, uint32_t id);
	struct locals *locals;
	const char *domain; /* of attacked accounts */
};

struct replay_settings {
	const struct trace *trace;
	const struct trace_nodes *nodes;
	const struct attack_plan *attacks;
	size_t attack_count;
	const struct attack_plan *outbreak; /* NULL: none */
	int64_t outbreak_at;                /* ms of the trace */
	struct world_settings world; /* its locals: internal_domains alone */
	uint32_t recipients_max;     /* of one transaction */
	bool no_local;               /* no domain is local: nothing comes in */
	/* NULL: made up from their numbers; else no_local is false, and every
	 * recipient of the trace is played. */
	const struct replay_people *people;
	/* Set from outside: the replay ends early, with EINTR. May be NULL. */
	const volatile sig_atomic_t *stop;
};

struct replay_result {
	struct replay_wait *waits; /* by their message */
	size_t wait_count, wait_cap;
	struct replay_freeze *freezes;
	size_t freeze_count, freeze_cap;
	struct replay_attack *attacks;
	size_t attack_count;
	struct replay_outbreak outbreak;
	bool *is_stolen; /* by id */
	int64_t *first;  /* message of each id, -1: it sends nothing */
};

/* 0, or a sysexits status with why in err. The result is cleared by the caller
 * in any case. */
MUST_CHECK int replay_run(const struct replay_settings *settings,
    struct replay_result *out, struct err *err);
void replay_clear(struct replay_result *r);

#endif
