/* SPDX-License-Identifier: BSD-3-Clause */
/* See submissions.h. */
#include "replay/submissions.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000)

void
submissions_init(struct submissions *s)
{
	*s = (struct submissions){.names = names_new()};
}

void
submissions_clear(struct submissions *s)
{
	names_free(s->names);
	free(s->v);
	free(s->recipients);
	free(s->of);
	trace_clear(&s->trace);
	trace_nodes_clear(&s->nodes);
}

void
submissions_add(void *submissions, const struct join_message *m)
{
	struct submissions *s = submissions;

	if (s->count == TRACE_MESSAGES_MAX ||
	    m->count > TRACE_RECIPIENTS_MAX - s->recipient_count) {
		s->stats.full++;
		return;
	}
	if (s->count == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : 1024;
		s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	while (s->recipient_cap - s->recipient_count < m->count) {
		s->recipient_cap =
		    s->recipient_cap > 0 ? s->recipient_cap * 2 : 4096;
		s->recipients = xrealloc(
		    s->recipients, s->recipient_cap * sizeof(*s->recipients));
	}
	memcpy(s->recipients + s->recipient_count, m->recipients,
	    m->count * sizeof(*m->recipients));
	s->v[s->count++] = (struct submission){
	    .at = m->at,
	    .key = m->key,
	    .user = m->user,
	    .sender = m->sender,
	    .client = m->client,
	    .place = m->place,
	    .first = s->recipient_count,
	    .count = m->count,
	    .has_client = m->has_client,
	    .is_local = m->is_local,
	    .has_sender = m->has_sender,
	};
	s->recipient_count += m->count;
}

/* ---- whose ---- */

static bool
is_request(const struct submission *m, const struct locals *locals)
{
	return m->user != 0 || m->is_local ||
	       (m->has_client && locals_has_client(locals, &m->client));
}

/* The name of a source that does not log in. */
static uint32_t
client_id(struct submissions *s, const struct submission *m)
{
	char text[IP_TEXT_MAX], name[IP_TEXT_MAX + 2];
	size_t n;

	if (!m->has_client)
		return names_id(s->names, STR("[local]"));
	ip_format(&m->client, text);
	n = str_copy(str_from(text), name + 1, IP_TEXT_MAX);
	name[0] = '[';
	name[n + 1] = ']';
	return names_id(s->names, (struct str){name, n + 2});
}

static struct str
domain_of(struct str address)
{
	size_t at = str_rindex(address, '@');

	return at < address.n ? str_sub(address, at + 1, address.n) : STR("");
}

static size_t
add_domain(struct map *seen, struct locals *locals, struct str domain)
{
	struct err why;

	if (domain.n == 0 || map_find(seen, domain) != NULL)
		return 0;
	map_set(seen, domain, locals);
	return locals_add_domain(locals, domain, ERR_ROOM(&why)) ? 1 : 0;
}

size_t
submissions_guess_domains(const struct submissions *s, struct locals *locals)
{
	struct map *seen = map_new();
	size_t n = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		if (s->v[i].user != 0)
			n += add_domain(seen, locals,
			    domain_of(names_text(s->names, s->v[i].user)));
	}
	for (uint32_t i = 0; n == 0 && i < s->count; i++) {
		if (is_request(&s->v[i], locals))
			n += add_domain(seen, locals,
			    domain_of(names_text(s->names, s->v[i].sender)));
	}
	map_free(seen, NULL);
	return n;
}

/* ---- the trace ---- */

static int
by_time(const void *a, const void *b)
{
	const struct submission *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	/* The one that names more comes first, and stays. */
	return (x->count < y->count) - (x->count > y->count);
}

static int
by_place(const void *a, const void *b)
{
	const struct submission *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->place.file != y->place.file)
		return x->place.file < y->place.file ? -1 : 1;
	return (x->place.line > y->place.line) -
	       (x->place.line < y->place.line);
}

static void
add_message(struct submissions *s, const struct locals *locals, uint32_t i,
    uint32_t sender)
{
	struct submission *m = &s->v[i];
	struct trace *t = &s->trace;
	struct trace_message *out = &t->messages[t->message_count];
	int64_t seconds = (m->at - s->start) / SECOND;

	*out = (struct trace_message){
	    .seconds = seconds < TRACE_SECONDS_MAX ? (uint32_t)seconds
						   : TRACE_SECONDS_MAX,
	    .sender = sender,
	    .first = t->recipient_count,
	};
	for (uint32_t k = 0; k < m->count; k++) {
		uint32_t id = s->recipients[m->first + k];

		if (m->comes_in &&
		    !locals_has(locals, names_text(s->names, id)))
			continue;
		t->recipients[t->recipient_count++] = id;
		out->count++;
	}
	if (out->count == 0)
		return;
	s->of[t->message_count++] = i;
}

static void
make_nodes(struct submissions *s, const struct locals *locals)
{
	uint32_t count = names_count(s->names) + 1;
	struct names *domains = names_new();

	s->nodes.v = xcalloc(count, sizeof(*s->nodes.v));
	s->nodes.count = count;
	for (uint32_t id = 1; id < count; id++) {
		struct str text = names_text(s->names, id);
		struct str domain = domain_of(text);

		s->nodes.v[id].is_listed = true;
		s->nodes.v[id].is_internal = locals_has(locals, text);
		s->nodes.v[id].domain =
		    domain.n > 0 ? names_id(domains, domain) : 0;
	}
	names_free(domains);
	s->trace.id_max = count - 1;
}

void
submissions_finish(struct submissions *s, const struct locals *locals)
{
	uint32_t null_id = names_id(s->names, STR("<>"));
	uint32_t *senders;
	uint32_t n;

	if (s->count > 0)
		qsort(s->v, s->count, sizeof(*s->v), by_time);
	n = 0;
	for (uint32_t i = 0; i < s->count; i++) {
		if (n > 0 && s->v[n - 1].at == s->v[i].at &&
		    s->v[n - 1].key == s->v[i].key)
			s->stats.doubles++;
		else
			s->v[n++] = s->v[i];
	}
	s->count = n;
	if (s->count > 0)
		qsort(s->v, s->count, sizeof(*s->v), by_place);
	s->start = s->count > 0 ? s->v[0].at - s->v[0].at % SECOND : 0;
	senders = xcalloc(s->count + 1, sizeof(*senders));
	for (uint32_t i = 0; i < s->count; i++) {
		struct submission *m = &s->v[i];

		m->comes_in = !is_request(m, locals);
		senders[i] = m->user != 0     ? m->user
			     : !m->comes_in   ? client_id(s, m)
			     : m->sender != 0 ? m->sender
					      : null_id;
	}
	s->trace.messages = xcalloc(s->count + 1, sizeof(*s->trace.messages));
	s->trace.recipients =
	    xcalloc(s->recipient_count + 1, sizeof(*s->trace.recipients));
	s->of = xcalloc(s->count + 1, sizeof(*s->of));
	make_nodes(s, locals);
	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t before = s->trace.message_count;

		if (!s->v[i].comes_in)
			s->nodes.v[senders[i]].is_user = true;
		add_message(s, locals, i, senders[i]);
		if (!s->v[i].comes_in)
			s->stats.requests++;
		else if (s->trace.message_count > before)
			s->stats.incoming++;
		else
			s->stats.passing++;
	}
	free(senders);
}
