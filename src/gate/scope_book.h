/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The book of scopes from inside: scope.c counts, scope_state.c stores and
 * sweeps.
 */
#ifndef GATE_SCOPE_BOOK_H
#define GATE_SCOPE_BOOK_H

#include "base/list.h"
#include "base/map.h"
#include "gate/scope_rules.h"
#include "gate/window.h"

#define SCOPE_KEY_MAX POLICY_SOURCE_MAX

struct scope_key {
	struct list changed; /* in no list: saved */
	struct list warned;  /* in no list: nobody is to be warned */
	struct scope_book *book;
	struct scope *scope;
	uint32_t pins, reserved;
	uint32_t untold; /* used, and those who share do not know */
	bool is_gone;    /* nothing is used, its row is to go before it */
	size_t n;
	struct window windows[OPTION_RATES_MAX];
	size_t key_n;
	char key[];
};

struct scope {
	const struct scope_rule *rule; /* NULL: the configuration has none */
	char *name;
	struct map *keys;
	size_t sweep_pos;
	uint64_t *known; /* in buckets of KNOWN_WAYS; NULL: none yet */
};

struct scope_book {
	struct scope_rules *rules;
	struct map *scopes; /* by name */
	struct list changed, warned;
};

struct scope_pins {
	uint64_t refs;
	size_t n;
	struct scope_key *v[SCOPES_MAX];
};

/* Found or made. */
struct scope_key *scope_key_get(
    struct scope_book *b, struct scope *s, struct str key, int64_t now);
bool scope_key_is_used(struct scope_key *k, int64_t now);
/* It is to be saved. */
void scope_key_touch(struct scope_key *k);
void scope_key_free(void *arg);

#endif
