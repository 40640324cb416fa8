/* SPDX-License-Identifier: BSD-3-Clause */
/* See trace.h. */
#include "replay/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 1024

/* The next number of the line; what: for the error. */
static bool
take(struct str *line, const char *what, uint32_t max, uint32_t *out,
    struct err *why)
{
	struct str word = str_cut(line, ' ');
	char shown[64];
	uint64_t v;

	if (word.n == 0)
		return err_set(why, "%s is missing", what);
	if (!str_to_u64(word, &v) || v > max)
		return err_set(why, "%s: \"%s\" is not a number up to %u", what,
		    str_escape(str_sub(word, 0, 30), shown, sizeof(shown)),
		    (unsigned)max);
	*out = (uint32_t)v;
	return true;
}

/* Doubles, never past max. */
static uint32_t
grown(uint32_t cap, uint32_t max)
{
	if (cap == 0)
		return CAP_FIRST;
	return cap > max / 2 ? max : cap * 2;
}

static bool
add_recipient(struct trace *t, uint32_t id, struct err *why)
{
	if (t->recipient_count == TRACE_RECIPIENTS_MAX)
		return err_set(why, "more than %d recipients in all",
		    TRACE_RECIPIENTS_MAX);
	if (t->recipient_count == t->recipient_cap) {
		t->recipient_cap =
		    grown(t->recipient_cap, TRACE_RECIPIENTS_MAX);
		t->recipients = xrealloc(
		    t->recipients, t->recipient_cap * sizeof(*t->recipients));
	}
	t->recipients[t->recipient_count++] = id;
	if (id > t->id_max)
		t->id_max = id;
	return true;
}

bool
trace_add_line(void *trace, struct str line, struct err *why)
{
	struct trace *t = trace;
	struct trace_message m = {.first = t->recipient_count};
	uint32_t id;

	if (!take(&line, "the time", TRACE_SECONDS_MAX, &m.seconds, why) ||
	    !take(&line, "the sender", TRACE_ID_MAX, &m.sender, why))
		return false;
	if (t->message_count > 0 &&
	    m.seconds < t->messages[t->message_count - 1].seconds)
		return err_set(why,
		    "the time %u is before that of the previous line; sort by "
		    "the first column",
		    (unsigned)m.seconds);
	do {
		if (!take(&line, "a recipient", TRACE_ID_MAX, &id, why) ||
		    !add_recipient(t, id, why))
			return false;
		m.count++;
	} while (line.n > 0);
	if (t->message_count == TRACE_MESSAGES_MAX)
		return err_set(
		    why, "more than %d messages", TRACE_MESSAGES_MAX);
	if (t->message_count == t->message_cap) {
		t->message_cap = grown(t->message_cap, TRACE_MESSAGES_MAX);
		t->messages = xrealloc(
		    t->messages, t->message_cap * sizeof(*t->messages));
	}
	t->messages[t->message_count++] = m;
	if (m.sender > t->id_max)
		t->id_max = m.sender;
	return true;
}

bool
trace_nodes_add_line(void *nodes, struct str line, struct err *why)
{
	struct trace_nodes *n = nodes;
	uint32_t id, user, internal, domain;

	if (!take(&line, "the id", TRACE_ID_MAX, &id, why) ||
	    !take(&line, "user", 1, &user, why) ||
	    !take(&line, "internal", 1, &internal, why) ||
	    !take(&line, "the domain", UINT32_MAX, &domain, why))
		return false;
	if (line.n > 0)
		return err_set(why,
		    "more than four columns; this file has id, user, internal "
		    "and domain");
	if (id >= n->count) {
		/* Zeroed memory that nobody has touched costs nothing: ids may
		 * lie apart. */
		uint32_t count = id + 1 > n->count * 2 ? id + 1 : n->count * 2;
		struct trace_node *v = xcalloc(count, sizeof(*v));

		if (n->count > 0)
			memcpy(v, n->v, n->count * sizeof(*v));
		free(n->v);
		n->v = v;
		n->count = count;
	}
	if (n->v[id].is_listed)
		return err_set(
		    why, "%u is given twice; remove one", (unsigned)id);
	n->v[id] = (struct trace_node){
	    .is_listed = true,
	    .is_user = user == 1,
	    .is_internal = internal == 1,
	    .domain = domain,
	};
	return true;
}

void
trace_clear(struct trace *t)
{
	free(t->messages);
	free(t->recipients);
	*t = (struct trace){0};
}

void
trace_nodes_clear(struct trace_nodes *n)
{
	free(n->v);
	*n = (struct trace_nodes){0};
}

struct trace_node
trace_node(const struct trace_nodes *n, uint32_t id)
{
	return id < n->count ? n->v[id] : (struct trace_node){0};
}
