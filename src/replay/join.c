/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See join.h. A message that the mail server has removed stays for a while:
 * a content filter's copy is told apart from it by a line that may come after
 * its last one.
 */
#include "replay/join.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGES_MAX 200000
#define RECIPIENTS_MAX 2000000
#define SESSIONS_MAX 100000
#define GRACE_MS (120 * INT64_C(1000))
#define AGE_MAX_MS (10 * 86400 * INT64_C(1000))
#define KEY_MAX 200
#define SEED 13 /* keys only tell doubles apart */

struct message {
	struct list link; /* of open, or of ended */
	char *key;
	struct join_message m;
	uint32_t *recipients;
	uint32_t cap, expected;
	bool has_ended, is_dropped;
	int64_t ended_at;
};

struct session {
	struct list link;
	char *key;
	uint32_t user;
	struct ip client;
	bool has_client;
};

struct join {
	struct join_settings s;
	struct join_stats stats;
	struct map *by_id, *sessions;
	struct list open, ended, session_list; /* the oldest first */
	size_t recipients;
	int64_t now; /* of the line in hand */
};

struct join *
join_new(const struct join_settings *settings)
{
	struct join *j = xcalloc(1, sizeof(*j));

	j->s = *settings;
	if (j->s.messages_max == 0)
		j->s.messages_max = MESSAGES_MAX;
	if (j->s.recipients_max == 0)
		j->s.recipients_max = RECIPIENTS_MAX;
	j->by_id = map_new();
	j->sessions = map_new();
	list_init(&j->open);
	list_init(&j->ended);
	list_init(&j->session_list);
	return j;
}

const struct join_stats *
join_stats(const struct join *j)
{
	return &j->stats;
}

/* Host and id, or host and session; cut where they are too long. */
static struct str
key_of(struct str host, struct str id, char out[KEY_MAX])
{
	size_t n = host.n < KEY_MAX / 2 ? host.n : KEY_MAX / 2;
	size_t left = KEY_MAX - n - 1;

	if (n > 0)
		memcpy(out, host.p, n);
	out[n] = '\n';
	if (id.n < left)
		left = id.n;
	if (left > 0)
		memcpy(out + n + 1, id.p, left);
	for (size_t i = 0; i < n + 1 + left; i++) {
		if (out[i] == '\0')
			out[i] = '?'; /* it is kept as a string */
	}
	return (struct str){out, n + 1 + left};
}

/* ---- messages ---- */

static void
message_free(struct join *j, struct message *m)
{
	list_remove(&m->link);
	map_remove(j->by_id, str_from(m->key));
	j->recipients -= m->m.count;
	free(m->recipients);
	free(m->key);
	free(m);
}

static void
hand_on(struct join *j, struct message *m)
{
	if (!m->is_dropped && m->m.count > 0) {
		m->m.recipients = m->recipients;
		if (m->m.count < m->expected)
			j->stats.partial++;
		j->stats.messages++;
		j->s.on_message(j->s.arg, &m->m);
	} else if (!m->is_dropped && m->expected > 0) {
		j->stats.nameless++;
	}
	message_free(j, m);
}

static struct message *
first_of(const struct list *l)
{
	return list_is_empty(l) ? NULL
				: LIST_ITEM(l->next, struct message, link);
}

/* Before the table grows. */
static void
make_room(struct join *j)
{
	struct message *m;

	while ((m = first_of(&j->ended)) != NULL &&
	       (m->ended_at < j->now - GRACE_MS ||
		   map_count(j->by_id) >= j->s.messages_max ||
		   j->recipients >= j->s.recipients_max))
		hand_on(j, m);
	while ((m = first_of(&j->open)) != NULL &&
	       (m->m.at < j->now - AGE_MAX_MS ||
		   map_count(j->by_id) >= j->s.messages_max ||
		   j->recipients >= j->s.recipients_max)) {
		j->stats.evicted += m->m.at >= j->now - AGE_MAX_MS;
		hand_on(j, m);
	}
}

static struct message *
message_find(const struct join *j, struct str host, struct str id)
{
	char key[KEY_MAX];

	return map_find(j->by_id, key_of(host, id, key));
}

static void
add_recipient(struct join *j, struct message *m, struct str address)
{
	uint32_t id = names_id(j->s.names, address);

	for (uint32_t i = 0; i < m->m.count; i++) {
		if (m->recipients[i] == id)
			return;
	}
	if (id == 0 || m->m.count == JOIN_RECIPIENTS_MAX) {
		j->stats.dropped++;
		return;
	}
	if (m->m.count == m->cap) {
		m->cap = m->cap > 0 ? m->cap * 2 : 4;
		m->recipients =
		    xrealloc(m->recipients, m->cap * sizeof(*m->recipients));
	}
	m->recipients[m->m.count++] = id;
	j->recipients++;
}

/* Addresses and logins count without case. */
static struct str
folded(struct str s, char out[KEY_MAX * 2])
{
	size_t n = s.n < KEY_MAX * 2 ? s.n : KEY_MAX * 2;

	for (size_t i = 0; i < n; i++)
		out[i] = s.p[i] >= 'A' && s.p[i] <= 'Z'
			     ? (char)(s.p[i] - 'A' + 'a')
			 : s.p[i] != '\0' ? s.p[i]
					  : '?';
	return (struct str){out, n};
}

static void
set_sender(struct join *j, struct message *m, const struct reader_record *r)
{
	char text[KEY_MAX * 2];

	m->m.has_sender = true;
	m->m.sender = r->address.n > 0
			  ? names_id(j->s.names, folded(r->address, text))
			  : 0;
}

/* ---- sessions ---- */

static void
session_free(struct join *j, struct session *s)
{
	list_remove(&s->link);
	map_remove(j->sessions, str_from(s->key));
	free(s->key);
	free(s);
}

static struct session *
session_find(const struct join *j, const struct reader_record *r)
{
	char key[KEY_MAX];

	return map_find(j->sessions, key_of(r->host, r->session, key));
}

static struct session *
session_make(struct join *j, const struct reader_record *r)
{
	struct session *s = session_find(j, r);
	char key[KEY_MAX];

	if (s != NULL)
		return s;
	if (map_count(j->sessions) >= SESSIONS_MAX)
		session_free(
		    j, LIST_ITEM(j->session_list.next, struct session, link));
	s = xcalloc(1, sizeof(*s));
	s->key = str_dup(key_of(r->host, r->session, key));
	map_set(j->sessions, str_from(s->key), s);
	list_append(&j->session_list, &s->link);
	return s;
}

/* ---- records ---- */

static void
take_begin(
    struct join *j, const struct reader_record *r, struct join_place place)
{
	struct message *m = message_find(j, r->host, r->id);
	const struct session *s = r->session.n > 0 ? session_find(j, r) : NULL;
	char key[KEY_MAX], text[KEY_MAX * 2];

	/* The same line of another file, or the id of another message. */
	if (m != NULL && (m->m.at == r->at || r->is_unique))
		return;
	if (m != NULL)
		hand_on(j, m);
	make_room(j);
	m = xcalloc(1, sizeof(*m));
	m->key = str_dup(key_of(r->host, r->id, key));
	m->m = (struct join_message){
	    .at = r->at,
	    .key = hash_str(str_from(m->key), SEED ^ (uint64_t)r->at),
	    .is_local = r->is_local,
	    .has_client = r->has_client,
	    .client = r->client,
	    .place = place,
	};
	if (s != NULL) {
		m->m.user = s->user;
		if (!r->has_client && s->has_client) {
			m->m.client = s->client;
			m->m.has_client = true;
		}
	}
	if (r->user.n > 0)
		m->m.user = names_id(j->s.names, folded(r->user, text));
	if (r->has_sender)
		set_sender(j, m, r);
	m->expected = r->count;
	map_set(j->by_id, str_from(m->key), m);
	list_append(&j->open, &m->link);
}

/* A message of its own was in fact the same: it came from the filter, without
 * a login and not before the first. */
static void
take_hop(struct join *j, const struct reader_record *r)
{
	struct message *first = message_find(j, r->host, r->id);
	struct message *next = message_find(j, r->host, r->next);

	if (first == NULL || next == NULL || next == first ||
	    next->m.user != 0 || next->m.at < first->m.at || next->is_dropped)
		return;
	if (r->has_client && next->m.has_client &&
	    !ip_is_loopback(&next->m.client) &&
	    !ip_eq(&r->client, &next->m.client))
		return;
	next->is_dropped = true;
	j->stats.hops++;
}

static void
take_of_message(struct join *j, const struct reader_record *r)
{
	struct message *m = message_find(j, r->host, r->id);
	char text[KEY_MAX * 2];

	if (m == NULL) {
		j->stats.orphans++;
		return;
	}
	switch (r->kind) {
	case READER_SENDER:
		set_sender(j, m, r);
		if (r->count > 0)
			m->expected = r->count;
		return;
	case READER_RECIPIENT:
		add_recipient(j, m, folded(r->address, text));
		return;
	case READER_REFUSED:
		m->is_dropped = true;
		return;
	case READER_END:
		if (m->has_ended)
			return;
		m->has_ended = true;
		m->ended_at = r->at;
		list_remove(&m->link);
		list_append(&j->ended, &m->link);
		return;
	case READER_LOGIN:
		m->m.user = names_id(j->s.names, folded(r->user, text));
		return;
	case READER_CLIENT:
	case READER_CLOSED:
	case READER_BEGIN:
	case READER_HOP:
		return;
	}
}

static void
take_of_session(struct join *j, const struct reader_record *r)
{
	struct session *s;
	char text[KEY_MAX * 2];

	if (r->kind == READER_CLOSED) {
		s = session_find(j, r);
		if (s != NULL)
			session_free(j, s);
		return;
	}
	s = session_make(j, r);
	if (r->kind == READER_LOGIN)
		s->user = names_id(j->s.names, folded(r->user, text));
	if (r->has_client) {
		s->client = r->client;
		s->has_client = true;
	}
}

void
join_take(
    struct join *j, const struct reader_record *r, struct join_place place)
{
	j->now = r->at;
	if (r->kind == READER_BEGIN)
		take_begin(j, r, place);
	else if (r->kind == READER_HOP)
		take_hop(j, r);
	else if (r->id.n > 0)
		take_of_message(j, r);
	else if (r->session.n > 0)
		take_of_session(j, r);
}

void
join_end(struct join *j)
{
	struct message *m;

	while ((m = first_of(&j->ended)) != NULL)
		hand_on(j, m);
	while ((m = first_of(&j->open)) != NULL)
		hand_on(j, m);
}

void
join_free(struct join *j)
{
	struct message *m;

	if (j == NULL)
		return;
	while ((m = first_of(&j->ended)) != NULL)
		message_free(j, m);
	while ((m = first_of(&j->open)) != NULL)
		message_free(j, m);
	while (!list_is_empty(&j->session_list))
		session_free(
		    j, LIST_ITEM(j->session_list.next, struct session, link));
	map_free(j->by_id, NULL);
	map_free(j->sessions, NULL);
	free(j);
}
