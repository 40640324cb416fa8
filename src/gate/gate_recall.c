/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/gate_recall.h"

static void
on_answer(struct acquaintance_question *q, enum acquaintance_answer answer)
{
	struct recall *r = CONTAINER_OF(q, struct recall, question);

	list_remove(&r->entry);
	r->fn(r, answer != ACQUAINTANCE_ERROR);
}

void
recall_begin(struct gate *g, struct str source, int64_t wall, struct recall *r)
{
	enum acquaintance_answer answer;

	list_init(&r->entry);
	if (!g->remembers) {
		r->fn(r, false);
		return;
	}
	r->question = (struct acquaintance_question){
	    .wall = wall,
	    .fn = on_answer,
	};
	list_append(&g->recalls, &r->entry);
	answer = acquaintances_ask(g->acquaintances, source, &r->question);
	if (answer != ACQUAINTANCE_LATER)
		on_answer(&r->question, answer);
}

void
recall_clear(struct gate *g)
{
	while (!list_is_empty(&g->recalls)) {
		struct recall *r =
		    LIST_ITEM(g->recalls.next, struct recall, entry);

		list_remove(&r->entry);
		acquaintances_unask(&r->question);
		r->drop(r);
	}
}
