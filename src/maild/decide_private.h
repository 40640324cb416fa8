/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A decision, shared by decide.c (which leads it through the gate),
 * decide_file.c (what outlives the daemon) and decide_http.c (requests and
 * answers).
 */
#ifndef MAILD_DECIDE_PRIVATE_H
#define MAILD_DECIDE_PRIVATE_H

#include "base/buf.h"
#include "base/map.h"
#include "maild/decide.h"

#define DECIDE_NAME_MAX 200 /* bytes of a source or a destination */
#define DECIDE_APPLICATION_MAX 32
#define DECIDE_TICKET_MAX 40
#define DECIDE_WHY_MAX 256
#define DECIDE_KEY_MAX 512 /* of an Idempotency-Key, and whose it is */
#define DECIDE_ANSWER_MAX (6u << 20)   /* bytes of one that is remembered */
#define DECIDE_ANSWERS_MAX (12u << 20) /* of all of them */

/* DECIDE_RESTORE: of one that waited before a restart; what passes is told,
 * and not spent. */
enum decide_kind { DECIDE_CHECK, DECIDE_NOW, DECIDE_LATER, DECIDE_RESTORE };

enum decide_phase {
	DECIDE_ASKING,  /* one destination after the other */
	DECIDE_OPEN,    /* waits for its commit */
	DECIDE_HOLDING, /* those that have to wait take their places */
	DECIDE_SECURING,
	DECIDE_ENDED,
};

struct decide_item {
	char *text;    /* as it was asked */
	char *address; /* what the gate compares */
	enum throttle_verdict verdict;
	bool observed;
	char why[DECIDE_WHY_MAX];
	int64_t retry_ms; /* -1: nobody knows */
	uint64_t destination;
	bool has_ticket;
};

struct decision {
	struct list entry;
	struct decider *d;
	struct web_exchange **x_slot; /* of who has asked, see decide_http.c */
	enum decide_kind kind;
	enum decide_phase phase;
	char *source, *application; /* source: "sms:alice" */
	char *wanted;               /* policy; "": by match */
	char key[512];              /* the gate's name of it */
	char policy[128];
	struct ip client;
	struct gate_txn *txn, *one; /* one: of a destination that waits */
	struct decide_item *items;
	size_t n, at;
	bool is_waiting, is_pumping;
	char id[20];
	struct loop_timer timer;
	void (*on_done)(struct decision *c);
	void (*on_drop)(struct decision *c); /* at the stop; NULL: nobody */
};

struct remembered {
	struct list entry;
	char *key;
	uint64_t body;     /* hash of what was asked */
	unsigned code;     /* 0: not answered yet */
	struct buf answer; /* JSON */
	int64_t until;     /* monotonic ms */
	bool is_stored;    /* it outlives a restart */
};

struct waiting { /* a place in a queue that somebody wants to hear of */
	struct list entry;
	char ticket[DECIDE_TICKET_MAX];
	char *sender, *source, *application, *policy,
	    *text; /* policy: as wanted */
	uint64_t destination;
};

struct decider {
	struct loop *loop;
	struct gate *gate;
	struct events *events;
	struct log *log;
	struct list decisions; /* all that are not ended */
	size_t open_count;
	struct list remembered;
	size_t remembered_count, remembered_bytes;
	struct list waiting;
	struct map *by_ticket;
	struct decide_file *file; /* NULL: it is being read */
	decide_turn_fn *on_turn;
	void *arg;
};

/* policy: by name, "": by match. */
struct decision *decision_new(struct decider *d, const char *source,
    const char *application, const char *policy, const struct ip *client,
    size_t n);
/* False: the destination cannot be one. */
MUST_CHECK bool decision_add(struct decision *c, const char *text);
/* Leads it on; on_done comes, perhaps at once. */
void decision_run(struct decision *c, int64_t now);
void decision_commit(struct decision *c, int64_t now); /* DECIDE_OPEN */
void decision_free(struct decision *c, int64_t now); /* cancels what is open */
struct decision *decide_find_open(struct decider *d, struct str id);

/* The name of a place: the same for the same source and destination. */
void decide_ticket(
    const char *sender, uint64_t destination, char out[DECIDE_TICKET_MAX]);
struct waiting *decide_find_waiting(struct decider *d, struct str ticket);
/* Nothing when it is there. */
void decide_add_waiting(struct decider *d, const char *sender,
    uint64_t destination, const char *source, const char *application,
    const char *policy, const char *text);
void decide_drop_waiting(struct decider *d, struct waiting *w);

/* What was answered for an Idempotency-Key, or is about to be. NULL: nothing.
 */
struct remembered *decide_find_remembered(
    struct decider *d, const char *key, int64_t now);
/* A new one, not answered yet. NULL: all of them wait for their answer. */
struct remembered *decide_remember(
    struct decider *d, const char *key, uint64_t body);
/* Older ones make room. False: it is too large, and r is gone. */
MUST_CHECK bool decide_remember_answer(struct decider *d, struct remembered *r,
    unsigned code, struct str answer, int64_t until);
void decide_forget(struct decider *d, struct remembered *r);

/* ---- decide_file.c ---- */

/* Reads what is there, and keeps it up to date from then on. */
void decide_file_open(struct decider *d, const char *dir);
/* Writes what is left. */
void decide_file_close(struct decider *d);
void decide_file_waiting(struct decider *d, const struct waiting *w);
void decide_file_gone(struct decider *d, const char *ticket);
void decide_file_answer(struct decider *d, const struct remembered *r);

struct decide_wait {
	struct list entry;
	uint64_t added;
	/* All that was given before is on the disk; false: it could not be
	 * written (yet). */
	void (*fn)(struct decide_wait *w, bool ok);
	void (*drop)(struct decide_wait *w); /* instead, at the end */
};
/* fn may come from within. */
void decide_file_wait(struct decider *d, struct decide_wait *w);

#endif
