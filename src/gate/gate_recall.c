/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/gate_recall.h"

#include <stdlib.h>

/* What a person types and policy_key_guess writes first: a key, an envelope
 * sender, a user. The rest are clients, to whom nobody writes. */
#define GUESSES 3

bool
recall_guess(
    const struct gate *g, struct str name, unsigned i, char out[GATE_KEY_MAX])
{
	char key[POLICY_SOURCE_MAX];

	if (i == 0) {
		source_resolve(g, name, out);
		return true;
	}
	if (i > GUESSES || source_find(g, str_from(out)) != NULL ||
	    !policy_key_guess(name, i - 1, key))
		return false;
	str_copy(str_from(key), out, GATE_KEY_MAX);
	return true;
}

static void ask(struct recall *r);

static void
end(struct recall *r, bool is_read)
{
	list_remove(&r->entry);
	free(r->name);
	r->name = NULL;
	r->fn(r, is_read);
}

static bool
is_empty(const struct recall *r)
{
	struct acquaintance_tally t;

	return acquaintances_tally(
		   r->g->acquaintances, str_from(r->key), 0, 0, &t) &&
	       t.total == 0;
}

static void
on_answer(struct acquaintance_question *q, enum acquaintance_answer answer)
{
	struct recall *r = CONTAINER_OF(q, struct recall, question);

	if (r->name != NULL && answer != ACQUAINTANCE_ERROR && is_empty(r)) {
		if (recall_guess(r->g, str_from(r->name), ++r->guess, r->key)) {
			ask(r);
			return;
		}
		(void)recall_guess(r->g, str_from(r->name), 0, r->key);
	}
	end(r, answer != ACQUAINTANCE_ERROR);
}

static void
ask(struct recall *r)
{
	enum acquaintance_answer answer = acquaintances_ask(
	    r->g->acquaintances, str_from(r->key), &r->question);

	if (answer != ACQUAINTANCE_LATER)
		on_answer(&r->question, answer);
}

static void
go_on(struct recall *r)
{
	if (r->g->remembers)
		ask(r);
	else
		end(r, false);
}

/* Where the queue cannot be read, what there is of it is shown. */
static void
on_loaded(struct load_wait *wait, int error)
{
	(void)error;
	go_on(CONTAINER_OF(wait, struct recall, wait));
}

static void
begin(struct gate *g, int64_t wall, struct recall *r)
{
	r->g = g;
	r->question = (struct acquaintance_question){
	    .wall = wall,
	    .fn = on_answer,
	};
	r->wait.fn = on_loaded;
	list_append(&g->recalls, &r->entry);
	if (!load_await(g, str_from(r->key), &r->wait))
		go_on(r);
}

void
recall_begin(struct gate *g, struct str source, int64_t wall, struct recall *r)
{
	str_copy(source, r->key, sizeof(r->key));
	begin(g, wall, r);
}

void
recall_begin_name(
    struct gate *g, struct str name, int64_t wall, struct recall *r)
{
	r->name = str_dup(name);
	(void)recall_guess(g, name, 0, r->key);
	begin(g, wall, r);
}

void
recall_clear(struct gate *g)
{
	while (!list_is_empty(&g->recalls)) {
		struct recall *r =
		    LIST_ITEM(g->recalls.next, struct recall, entry);

		list_remove(&r->entry);
		load_unawait(&r->wait);
		acquaintances_unask(&r->question);
		free(r->name);
		r->drop(r);
	}
}
