/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the clients sent and what became of it (oracle.c), and who acts in the
 * world (world.c).
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "sim.h"

#define CLIENTS 8
#define RCPTS_MAX 24
#define PORT_IN 2525
#define PORT_HOP 10025
#define HOPS 2
#define CONTROL "/sim/control.sock"
#define SPOOL "/sim/spool"

struct rcpt {
	uint32_t number;
	bool stranger; /* the client has never written to it before */
	bool accepted; /* 250 in this attempt */
	bool owed;     /* the client heard 250 for it */
	bool delivered, bounced;
	bool excused;  /* an administrator may have discarded it */
	uint64_t seen; /* in the spool, at this look */
};

struct letter {
	uint64_t number;
	struct client *client;
	size_t size; /* of its text */
	struct rcpt rcpts[RCPTS_MAX];
	size_t rcpt_count;
	int64_t first_try, owed_at;
	bool free;      /* an administrator may have let it go */
	bool in_flight; /* the client is at it */
	bool open;
	struct letter *next; /* of the open ones */
};

struct passed { /* a stranger was reached */
	int64_t sent, reached;
};

struct client {
	unsigned number;
	uint32_t next_stranger;
	struct passed *passed;
	size_t passed_n, passed_cap;
	int64_t frozen_at; /* by an administrator, who was told so; 0: not */
	bool discarding;
};

struct rules { /* of a seed */
	unsigned burst, interval_s, freeze_at;
	const char *when_frozen, *multi;
	bool calm; /* nothing fails and nobody interferes */
	bool wild; /* much more fails */
};

extern struct client clients[CLIENTS];
extern struct rules rules;

/* ---- oracle.c ---- */

struct letter *letter_new(struct client *c, int64_t now);
char *letter_text(const struct letter *l, size_t *n); /* without dots */
struct letter *letter_find(uint64_t number);
void letter_try(struct letter *l);
/* It was answered 250. */
void letter_owed(struct letter *l);
void letter_given_up(struct letter *l);
/* A next hop took it, or a report of weir's own. */
void oracle_delivered(const char *from, const char *text, size_t n,
    const uint32_t *to, size_t to_count);
void oracle_text(const char *text, size_t n);
void oracle_release(void);
void oracle_discard(struct client *c);
void oracle_discard_id(const char *id);
/* A message in the spool, by chance; false: there is none. */
bool oracle_pick(char id[16], bool discard);
void oracle_step(int64_t ms); /* the wall clock was set */
void oracle_crash(void);
/* What must hold at any moment; weir_lives: beside a living weir. */
void oracle_check(bool weir_lives);
/* At the end: everything has come to its end. */
bool oracle_is_settled(void);
void oracle_end(void);
void oracle_heard(void);
void oracle_unheard(void);
void oracle_status(const char *json);
/* A next hop took a text for so many. */
void oracle_taken(size_t recipients);
/* From when on nothing was wrong with next hops, disk and clock. */
void oracle_trouble(void);

struct totals {
	uint64_t letters, owed, delivered, bounced, again, excused, kills,
	    losses, stops, checks, frozen, faults, held;
};
extern struct totals totals;

/* ---- world.c ---- */

void world_start(void);
void world_calm(void); /* no more mail, no more faults */
/* A command of an administrator, from a coroutine; the last line of the
 * answer. False: none. */
bool world_ask(const char *request, char *out, size_t cap);
void world_thaw_all(void);

#endif
