/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the shared throttle have in common: a source that follows
 * the server (gate_shared.c), and a question about it (gate_shared_ask.c).
 */
#ifndef GATE_GATE_SHARED_SOURCE_H
#define GATE_GATE_SHARED_SOURCE_H

#include "gate/gate_shared.h"

/* What the gate keeps of a source that is shared, for each of its limiters. */
struct shared_source {
	struct list entry; /* of g->shared_sources */
	struct gate *g;
	struct throttle_source *src;
	enum share_lane lane;
	int64_t due; /* it is asked then; INT64_MAX: for no reason */
	unsigned asking;
	uint32_t untold;
	uint32_t elsewhere; /* waits at other relays */
	bool was_thawed;
	bool differs; /* the server has not what waits here */
	/* The server lets them go, and something of this relay's own does
	 * not. */
	uint64_t *grants;
	size_t grants_n;
	int64_t grants_at;
	struct scope_ask *asking_scopes; /* for one of them; NULL: no */
	uint64_t asked_for;
	int64_t scopes_open_at; /* as was said */
};

/* Owns all that it points to. */
struct gate_shared_ask {
	struct list entry; /* of g->shared_asks */
	struct gate *g;
	char key[GATE_KEY_MAX];
	enum share_lane lane;
	struct shared_later *later; /* NULL: of no recipient */
	struct share_step *steps;
	size_t steps_n;
	uint64_t *list;
	uint32_t untold;
	bool was_thawed;
	bool is_seeded;
	int64_t wall;
	uint64_t network; /* of the message */
	bool was_untold;  /* signals */
	/* The first step counts something; result: as it is here. */
	bool has_signal;
	int result;
	/* Of the recipient, while the scopes are asked. */
	struct throttle_reservation ruling;
	struct scope_pins *pins;
};

/* ---- gate_shared.c ---- */

/* Of a policy and in a gate whose sources are shared. */
bool shared_may_be(const struct gate *g, const struct throttle_source *src);
/* Made where it is missing; src has its data. */
struct shared_source *shared_of(
    struct gate *g, struct throttle_source *src, enum share_lane lane);
/* Its throttle here, and the source in it. */
struct throttle *shared_limiter(struct gate *g, struct throttle_source *src,
    enum share_lane lane, struct throttle_source **out);
/* It is asked about at that time, or before. */
void shared_want(struct gate *g, struct shared_source *s, int64_t at);
/* The throttle here becomes what the server says. */
void shared_follow(struct gate *g, struct shared_source *s,
    const struct share_answer *a, int64_t now, int64_t wall);

/* ---- gate_shared_ask.c ---- */

struct gate_shared_ask *shared_ask_new(
    struct gate *g, const char *key, enum share_lane lane, int64_t wall);
void shared_ask_free(struct gate_shared_ask *ask);
/* Takes it. */
void shared_ask_send(struct gate_shared_ask *ask, int64_t now);

/* ---- gate_signals_shared.c ---- */

/* What a question about new recipients says of signals. */
struct shared_signals {
	struct share_signals known;
	struct share_network networks[SHARE_NETWORKS_MAX];
};
void shared_signals_put(struct gate_shared_ask *ask,
    struct throttle_source *src, struct share_question *q,
    struct shared_signals *room);
/* The counts here become those of an answer. */
void shared_signals_follow(struct gate *g, struct str key,
    const struct policy *policy, const struct share_signals *theirs,
    int64_t now);
/* a NULL: no answer. */
void shared_signals_end(
    struct gate_shared_ask *ask, const struct share_answer *a, int64_t now);

#endif
