/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A decision, shared by decide.c (which leads it through the gate) and
 * decide_http.c (requests and answers).
 */
#ifndef MAILD_DECIDE_PRIVATE_H
#define MAILD_DECIDE_PRIVATE_H

#include "base/map.h"
#include "maild/decide.h"

#define DECIDE_NAME_MAX 200 /* bytes of a source or a destination */
#define DECIDE_APPLICATION_MAX 32
#define DECIDE_TICKET_MAX 40
#define DECIDE_WHY_MAX 256

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
	uint64_t body; /* hash of what was asked */
	unsigned code; /* 0: not answered yet */
	json_t *answer;
	int64_t until;
};

struct waiting { /* a place in a queue that somebody wants to hear of */
	struct list entry;
	char ticket[DECIDE_TICKET_MAX];
	char *sender, *source, *application, *text;
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
	size_t remembered_count;
	struct list waiting;
	struct map *by_ticket;
	struct worker *worker;
	char *path, *temporary;
	bool has_changed, is_writing;
	struct loop_timer save;
};

struct decision *decision_new(struct decider *d, const char *source,
    const char *application, const struct ip *client, size_t n);
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
void decide_drop_waiting(struct decider *d, struct waiting *w);

#endif
