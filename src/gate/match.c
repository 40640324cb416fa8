/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names stand in one map, in lower case, domains with their '@' in front; the
 * value says for which fact a name counts. Networks stand in a second map
 * under family, length and address, so that a look-up is one probe per prefix
 * length in use. Everything is bounded: entries and their length.
 */
#include "gate/match.h"

#include "base/mailbox.h"
#include "base/map.h"
#include "os/entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_USER 1u
#define FOR_SENDER 2u
#define FOR_OWN 4u
#define FOR_APP 8u
#define FOR_ADDRESS (FOR_SENDER | FOR_OWN)
#define NET_KEY (2 + sizeof(((struct ip *)0)->bytes))

struct match {
	enum match_kind kind;
	struct map *names;
	struct map *nets;
	bool v4_bits[33], v6_bits[129]; /* prefix lengths in use */
	size_t count;
	char *bare; /* see match_bare */
	bool has_null;
};

struct match *
match_new(enum match_kind kind)
{
	struct match *m = xcalloc(1, sizeof(*m));

	m->kind = kind;
	m->names = map_new();
	m->nets = map_new();
	return m;
}

void
match_free(struct match *m)
{
	if (m == NULL)
		return;
	map_free(m->names, NULL);
	map_free(m->nets, NULL);
	free(m->bare);
	free(m);
}

size_t
match_count(const struct match *m)
{
	return m->count;
}

bool
match_has_null(const struct match *m)
{
	return m->has_null;
}

const char *
match_bare(const struct match *m)
{
	return m->bare;
}

/* Lower case, ASCII alone. False: longer than any entry. */
static bool
lower(struct str s, char out[ENTRY_MAX], struct str *result)
{
	if (s.n > ENTRY_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	*result = (struct str){out, s.n};
	return true;
}

static void
add_key(struct match *m, struct str name, unsigned facts)
{
	char text[ENTRY_MAX];
	struct str key;
	uintptr_t was;

	if (!lower(name, text, &key))
		panic("a match entry of %zu bytes", name.n);
	was = (uintptr_t)map_find(m->names, key);
	map_set(m->names, key, (void *)(was | facts));
}

/* An address is told by what it means, a user's name as it stands. */
static void
add_name(struct match *m, struct str name, unsigned facts)
{
	char plain[MAILBOX_PLAIN_MAX];

	add_key(m, name, facts);
	if ((facts & FOR_ADDRESS) != 0 && name.p[0] == '"')
		add_key(m, mailbox_plain(name, plain), facts & FOR_ADDRESS);
}

static void
net_key(const struct ip *ip, unsigned bits, char out[NET_KEY])
{
	struct ip net = ip_mask(ip, bits);

	out[0] = (char)ip->family;
	out[1] = (char)bits;
	memset(out + 2, 0, NET_KEY - 2);
	memcpy(out + 2, net.bytes, ip->family == IP_V4 ? 4 : 16);
}

static void
add_net(struct match *m, const struct ip_net *net)
{
	char key[NET_KEY];

	if (net->ip.family == IP_V4)
		m->v4_bits[net->bits] = true;
	else
		m->v6_bits[net->bits] = true;
	net_key(&net->ip, net->bits, key);
	map_set(m->nets, (struct str){key, sizeof(key)}, m);
}

/* "192.0.2.1/24" is meant as a network and is none: host bits are set. Without
 * this look it would be taken for the name of a user. */
static bool
looks_like_net(struct str s)
{
	struct str address = str_cut(&s, '/');
	struct ip ip;

	return ip_parse(address, &ip);
}

static bool
add_client(struct match *m, struct str text, char *err, size_t err_cap)
{
	struct ip_net net;

	if (ip_net_parse(text, &net)) {
		add_net(m, &net);
		return true;
	}
	snprintf(err, err_cap,
	    "not a network; write it as 192.0.2.0/24, host bits 0");
	return false;
}

/* RFC 5322 atext has both, but whoever writes one here means a pattern, which
 * would match nobody. A quoted local part may hold them. */
static bool
looks_like_pattern(struct str name)
{
	return !str_starts(name, STR("\"")) &&
	       (str_index(name, '*') < name.n || str_index(name, '?') < name.n);
}

static bool
check_name(struct str name, char *err, size_t err_cap)
{
	if (name.n == 0 || str_eq(name, STR("@")))
		snprintf(err, err_cap, "empty entry");
	else if (looks_like_pattern(name))
		snprintf(err, err_cap,
		    "patterns are not supported; write a domain as "
		    "@example.org");
	else
		return true;
	return false;
}

static bool
add_sender(struct match *m, struct str entry, char *err, size_t err_cap)
{
	unsigned facts = FOR_USER | FOR_OWN;
	struct ip_net net;

	if (str_istarts(entry, STR("client:")))
		return add_client(m, str_sub(entry, 7, entry.n), err, err_cap);
	if (str_istarts(entry, STR("app:"))) {
		facts = FOR_APP;
		entry = str_sub(entry, 4, entry.n);
	} else if (str_istarts(entry, STR("user:"))) {
		facts = FOR_USER;
		entry = str_sub(entry, 5, entry.n);
	} else if (str_istarts(entry, STR("from:"))) {
		facts = FOR_SENDER;
		entry = str_sub(entry, 5, entry.n);
		m->has_null = m->has_null || str_eq(entry, STR("<>"));
	} else if (ip_net_parse(entry, &net) || looks_like_net(entry)) {
		return add_client(m, entry, err, err_cap);
	} else if (str_starts(entry, STR("<")) || str_starts(entry, STR("["))) {
		/* As weirctl shows it; nobody logs in by such a name. */
		snprintf(err, err_cap,
		    "angle brackets are not allowed; write from:ADDRESS for an "
		    "envelope sender (from:<> for the null sender), "
		    "client:ADDRESS for a client");
		return false;
	}
	if (!check_name(entry, err, err_cap))
		return false;
	if ((facts & FOR_OWN) != 0 && m->bare == NULL &&
	    str_index(entry, '@') < entry.n)
		m->bare = str_dup(entry);
	/* The null sender is an empty slice, and as such matches no name:
	 * policy.c looks at match_has_null. */
	add_name(m, entry, facts);
	return true;
}

static bool
add_recipient(struct match *m, struct str entry, char *err, size_t err_cap)
{
	if (!check_name(entry, err, err_cap))
		return false;
	if (str_index(entry, '@') == entry.n || str_starts(entry, STR("<"))) {
		snprintf(err, err_cap,
		    "not an address; write user@example.org or @example.org");
		return false;
	}
	add_name(m, entry, FOR_SENDER);
	return true;
}

static bool
add_one(void *arg, struct str entry, char *err, size_t err_cap)
{
	struct match *m = arg;

	if (m->count >= MATCH_ENTRIES_MAX) {
		snprintf(
		    err, err_cap, "more than %d entries", MATCH_ENTRIES_MAX);
		return false;
	}
	m->count++;
	if (m->kind == MATCH_SENDERS)
		return add_sender(m, entry, err, err_cap);
	return add_recipient(m, entry, err, err_cap);
}

bool
match_add(struct match *m, struct str entry, char *err, size_t err_cap)
{
	return entries_read(entry, add_one, m, err, err_cap);
}

/* The name itself or its domain, for one of these facts. */
static bool
has_name(const struct match *m, struct str name, unsigned fact)
{
	char text[ENTRY_MAX], plain[MAILBOX_PLAIN_MAX];
	struct str key;
	size_t at;

	if (map_count(m->names) == 0 || name.n == 0)
		return false;
	if (fact != FOR_USER)
		name = mailbox_plain(name, plain);
	if (!lower(name, text, &key))
		return false;
	if (((uintptr_t)map_find(m->names, key) & fact) != 0)
		return true;
	/* "victim%example.net@example.org" is not one of example.org's. */
	if (fact != FOR_USER && mailbox_is_indirect(key))
		return false;
	at = str_rindex(key, '@');
	return at < key.n &&
	       ((uintptr_t)map_find(m->names, str_sub(key, at, key.n)) &
		   fact) != 0;
}

static bool
has_client(const struct match *m, const struct ip *client)
{
	const bool *used = client->family == IP_V4 ? m->v4_bits : m->v6_bits;
	unsigned most = client->family == IP_V4 ? 32 : 128;
	char key[NET_KEY];

	if (client->family == IP_NONE || map_count(m->nets) == 0)
		return false;
	for (unsigned bits = 0; bits <= most; bits++) {
		if (!used[bits])
			continue;
		net_key(client, bits, key);
		if (map_find(m->nets, (struct str){key, sizeof(key)}) != NULL)
			return true;
	}
	return false;
}

/* "sms:alice" is one of the application sms's. */
static bool
has_application(const struct match *m, struct str user)
{
	char text[ENTRY_MAX];
	struct str name = str_sub(user, 0, str_index(user, ':')), key;

	return name.n < user.n && name.n > 0 && map_count(m->names) > 0 &&
	       lower(name, text, &key) &&
	       ((uintptr_t)map_find(m->names, key) & FOR_APP) != 0;
}

bool
match_sender(const struct match *m, const struct match_facts *facts)
{
	return has_name(m, facts->user, FOR_USER) ||
	       has_name(m, facts->sender, FOR_SENDER) ||
	       has_name(m, facts->own, FOR_OWN) ||
	       has_application(m, facts->user) || has_client(m, &facts->client);
}

bool
match_recipient(const struct match *m, struct str address)
{
	return has_name(m, address, FOR_SENDER);
}
