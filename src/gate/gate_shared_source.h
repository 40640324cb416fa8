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
	/* Reservations that it may have made, and nobody knows of: given back
	 * when it answers again. The rest ends by its lease. */
	uint64_t *lost;
	size_t lost_n;
	/* Of gate_shared_touch.c; NULL: none, and not in g->shared_touched. */
	struct list touch_entry;
	uint64_t *touched;
	size_t touched_n;
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
	/* That one, and those that come behind it; their steps are the last. */
	struct shared_asked *asked;
	size_t asked_n;
	enum share_what as;
	struct share_step *steps;
	size_t steps_n;
	uint64_t *list;
	uint32_t untold;
	bool was_thawed;
	bool is_seeded;
	bool is_lost; /* gives back what nobody heard of */
	int64_t wall;
	uint64_t network; /* of the message */
	bool was_untold;  /* signals */
	/* The first step counts something; result: as it is here. */
	bool has_signal;
	int result;
	struct scope_pins *pins; /* while the scopes are asked */
	struct path_later *path; /* of gate_path_shared.c; NULL: of no path */
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

/* ---- gate_shared_touch.c ---- */

/* Known recipients that were not told of yet go with the ask. */
void shared_touch_take(struct shared_source *s, struct gate_shared_ask *ask);
void shared_touch_run(struct gate *g, int64_t now, int64_t wall);
void shared_touch_forget(struct shared_source *s); /* the source goes */

/* ---- gate_shared_ahead.c ---- */

#define SHARED_AHEAD_MAX 100 /* recipients of one question */

/* first, and those behind it that would be asked about in the same lane.
 * Returns how many, one at least; cap of them at most. */
size_t shared_look_ahead(
    const struct shared_later *first, struct shared_asked *v, size_t cap);
/* Copies them: the transaction has none in that lane. */
void shared_ahead_keep(struct gate_txn *txn, enum share_lane lane,
    enum share_what as, const struct shared_asked *v, size_t n, int64_t now);
/* False: this one has to be asked about now; then none is kept. */
bool shared_ahead_take(const struct shared_later *later, enum share_what as,
    int64_t now, struct shared_asked *out);
void shared_ahead_free(struct gate_txn *txn);

/* ---- gate_shared_tell.c ---- */

/* Whether a ruling holds something on the server. */
bool shared_is_reserved(const struct shared_asked *asked);
/* Nobody takes what was reserved, or may have been. */
void shared_note_unused(struct gate_txn *txn, enum share_lane lane,
    const struct shared_asked *asked);
/* Takes what was noted of the lane: *n steps, for free. */
struct share_step *shared_take_told(
    struct gate_txn *txn, enum share_lane lane, size_t *n);

#endif
