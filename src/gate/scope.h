/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes: windows over the new recipients of many senders together, by user,
 * client, domain, or all. A scope holds and never freezes: a recipient that
 * the sender's own policy would let pass waits in the sender's queue until
 * every scope that it counts in has room.
 *
 * Rules come from the configuration, are immutable and counted. The book keeps
 * what was used under each rule and key; it outlives a reload, where rules of
 * the same name go on with what was used. All of it is bounded; times are
 * monotonic ms. One thread.
 */
#ifndef GATE_SCOPE_H
#define GATE_SCOPE_H

#include "gate/policy.h"

enum scope_by { SCOPE_USER, SCOPE_CLIENT, SCOPE_DOMAIN, SCOPE_ALL };

/* The `scope` section as it is read (struct for os/options.h). */
struct scope_conf {
	char *name;
	struct option_place place;
	int by; /* enum scope_by */
	struct option_strings match;
	struct option_rates limit;
	struct option_strings warn_at;
};

extern const struct option scope_options[];

#define SCOPES_MAX 16        /* in a configuration, the built-in ones too */
#define SCOPE_KEYS_MAX 10000 /* of one scope; past it new keys share one */
#define SCOPE_NAME_MAX 60

/* Two are always there; a section of the same name changes their limit, and an
 * empty limit ends them. They count programs of the mail server's own machine
 * that no policy names by its match: all of each client, and those together
 * that were not seen before the last day. Recipients that such programs reached
 * before are free. */
#define SCOPE_LOCAL "local"
#define SCOPE_NEW_LOCAL "new-local"

struct scope_rules;

/* NULL on an error, with file, line, scope and what to do in err. Reads the
 * files that entries name. */
struct scope_rules *scope_rules_new(
    const struct scope_conf *confs, size_t n, char *err, size_t err_cap);
struct scope_rules *scope_rules_ref(struct scope_rules *rules);
void scope_rules_free(struct scope_rules *rules); /* takes NULL */
/* The i-th section of confs matches nobody: its entries are empty files. */
bool scope_rules_is_void(const struct scope_rules *rules, size_t i);

/* ---- what was used ---- */

struct scope_book;
struct scope_pins; /* the windows that a sender's new recipients count in */

struct scope_book *scope_book_new(void);
void scope_book_free(struct scope_book *b); /* takes NULL */
void scope_book_set_rules(
    struct scope_book *b, struct scope_rules *rules, int64_t now);

struct scope_facts {
	const struct policy *policy;
	struct gate_facts facts; /* names as they count */
	bool is_named;           /* by the policy's match */
	bool is_new; /* a local sender not seen before the last day */
};
/* NULL: it counts in none. */
struct scope_pins *scope_pins_new(
    struct scope_book *b, const struct scope_facts *facts, int64_t now);
struct scope_pins *scope_pins_ref(struct scope_pins *p); /* takes NULL */
void scope_pins_free(struct scope_pins *p);              /* takes NULL */

/* The scope that decides: of those without room the one that opens last, else
 * the fullest. Borrowed names. */
struct scope_info {
	const char *name, *key;
	uint32_t used, count;
	int64_t window_ms;
	int64_t open_at; /* when to ask again */
};
/* A place in each window, or in none. True: *mask is to be given to commit or
 * cancel, once; 0: nothing counts it. False: *full tells why. */
bool scope_reserve(struct scope_pins *p, uint64_t destination, int64_t now,
    uint32_t *mask, struct scope_info *full);
/* Those that several relays share (gate_scope_shared.h), as a mask; 0: none. */
uint32_t scope_shared_mask(const struct scope_pins *p);
/* As scope_reserve; in those of `given` there is a place, as others say. */
bool scope_reserve_given(struct scope_pins *p, uint32_t given,
    uint64_t destination, int64_t now, uint32_t *mask, struct scope_info *full);
void scope_commit(
    struct scope_pins *p, uint64_t destination, uint32_t mask, int64_t now);
void scope_cancel(struct scope_pins *p, uint32_t mask);
/* The i-th window of p, from 0 until false. */
bool scope_look(
    struct scope_pins *p, size_t i, int64_t now, struct scope_info *out);
/* A window that came to a part of its limit (warn_at), which *percent is. Each
 * is given once. False: none is left. */
bool scope_next_warning(struct scope_book *b, int64_t now, unsigned *percent,
    struct scope_info *out);

/* ---- stored state ---- */

#define SCOPE_ROW_MAX (SCOPE_NAME_MAX + 330)
#define SCOPE_STATE_MARK 'S' /* the first byte of a state */
#define SCOPE_STATE_MAX 2048

struct scope_state {
	char row[SCOPE_ROW_MAX]; /* the key in the spool */
	unsigned char bytes[SCOPE_STATE_MAX];
	size_t n; /* 0: nothing is used, the row is to be removed */
};
/* The next that was changed since it was saved, as it is to be stored now.
 * What is reserved counts as used. p: of these alone; NULL: of all. False:
 * none. */
bool scope_next_changed(struct scope_book *b, struct scope_pins *p, int64_t now,
    struct scope_state *out);
bool scope_has_changed(const struct scope_book *b);
/* What was saved age_ms ago. False: the bytes are no state of a scope.
 * Read-back state is hostile: bounded and validated. */
MUST_CHECK bool scope_load(
    struct scope_book *b, struct str state, int64_t age_ms, int64_t now);
/* Forgets keys of which nothing is used; looks at up to steps of them. */
void scope_sweep(struct scope_book *b, size_t steps, int64_t now);

#endif
