/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decoys that incoming mail names to a user of ours: whoever harvested them
 * writes to both, and an answer to all of that mail is no theft. Kept for each
 * user that such a message reached (named.h), and asked when the user touches
 * the decoy. Nobody can use it who does not know the decoys, and then for the
 * users alone that he writes to.
 */
#include "gate/gate_txn.h"

#include "base/hash.h"

#include <stdlib.h>

#define USERS_MAX 100 /* of one message */

struct naming_user {
	uint32_t recipient;
	char *key;
};

struct naming {
	struct naming_user users[USERS_MAX];
	uint32_t user_n;
	uint64_t decoys[NAMED_MAX];
	uint32_t n;
};

/* However a policy writes recipients. */
static uint64_t
decoy_of(const struct gate *g, struct str address)
{
	char text[GATE_RECIPIENT_MAX];
	struct str key = {text, g->recipient_key(address, false, text)};

	if (key.n == 0 || (!policies_is_decoy(g->policies, address) &&
			      !policies_is_decoy(g->policies, key)))
		return 0;
	return hash_str(key, g->seed);
}

/* ---- who hears it ---- */

static void
on_user(void *arg, struct str user, struct str address)
{
	struct gate_facts facts = {.user = user, .sender = address};
	struct gate_txn *txn = arg;
	struct naming *named = txn->naming;
	char text[POLICY_SOURCE_MAX];
	struct source_names names;
	struct str key = {.p = text};

	if (named->user_n == USERS_MAX)
		return;
	(void)source_of(txn->g, &facts, &names, text, &key.n);
	named->users[named->user_n++] =
	    (struct naming_user){txn->n, str_dup(key)};
}

void
naming_add(struct gate_txn *txn, struct str recipient)
{
	struct gate *g = txn->g;

	if (g->locals == NULL || !policies_have_decoys(g->policies))
		return;
	if (txn->naming == NULL)
		txn->naming = xcalloc(1, sizeof(*txn->naming));
	locals_each_user(g->locals, recipient, on_user, txn);
}

void
naming_cut(struct gate_txn *txn)
{
	struct naming *named = txn->naming;

	while (named != NULL && named->user_n > 0 &&
	       named->users[named->user_n - 1].recipient >= txn->n)
		free(named->users[--named->user_n].key);
}

void
naming_free(struct gate_txn *txn)
{
	struct naming *named = txn->naming;

	for (uint32_t i = 0; named != NULL && i < named->user_n; i++)
		free(named->users[i].key);
	free(named);
	txn->naming = NULL;
}

bool
gate_txn_hears_names(const struct gate_txn *txn)
{
	return txn->naming != NULL && txn->naming->user_n > 0;
}

void
gate_txn_hear_name(struct gate_txn *txn, struct str address)
{
	struct naming *named = txn->naming;
	uint64_t decoy;

	if (!gate_txn_hears_names(txn) || named->n == NAMED_MAX)
		return;
	decoy = decoy_of(txn->g, address);
	for (uint32_t i = 0; i < named->n && decoy != 0; i++) {
		if (named->decoys[i] == decoy)
			return;
	}
	if (decoy != 0)
		named->decoys[named->n++] = decoy;
}

/* ---- what it was ---- */

static void
note_user(
    struct gate *g, struct str key, const struct naming *named, int64_t now)
{
	struct signals *s = signals_get(g->signals, key, now);

	for (uint32_t i = 0; s != NULL && i < named->n; i++)
		named_add(&s->named, named->decoys[i], now);
}

void
naming_commit(struct gate_txn *txn, int64_t now)
{
	const struct naming *named = txn->naming;

	if (named == NULL || named->n == 0)
		return;
	for (uint32_t i = 0; i < named->user_n; i++)
		note_user(txn->g, str_from(named->users[i].key), named, now);
	signal_touch(txn->g);
}

bool
naming_has(const struct gate_txn *txn, struct str decoy)
{
	struct signals *s = signals_find(txn->g->signals, txn_key(txn));

	return s != NULL &&
	       named_has(&s->named, decoy_of(txn->g, decoy), txn->g->now);
}
