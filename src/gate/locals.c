/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains stand in one map, as addresses of theirs have them (lower case,
 * A-labels); addresses with users of their own in another, each with its list.
 */
#include "gate/locals.h"

#include "base/mailbox.h"
#include "base/map.h"
#include "os/entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 1000000

struct names {
	size_t n;
	char *v[LOCALS_USERS_MAX];
};

struct locals {
	uint64_t refs;
	enum locals_source source;
	size_t (*key)(
	    struct str address, bool fold_tag, char out[LOCALS_KEY_MAX]);
	struct map *domains, *internal;
	bool local_is_internal;
	struct map *users; /* struct names */
	struct ip_net *nets;
	size_t net_count;
};

static void
names_free(void *value)
{
	struct names *names = value;

	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names);
}

static bool
fail(char *err, size_t err_cap, const char *why)
{
	snprintf(err, err_cap, "%s", why);
	return false;
}

static struct str
domain_of(struct str key)
{
	return str_sub(key, str_rindex(key, '@') + 1, key.n);
}

static bool
add_to(struct locals *l, struct map *domains, struct str entry, char *err,
    size_t err_cap)
{
	char text[ENTRY_MAX + 3], key[LOCALS_KEY_MAX];
	struct str domain;

	if (str_starts(entry, STR("@")))
		entry = str_sub(entry, 1, entry.n);
	snprintf(text, sizeof(text), "x@%.*s", STR_ARG(entry));
	domain = (struct str){key, l->key(str_from(text), false, key)};
	domain = domain_of(domain);
	if (entry.n == 0 || domain.n == 0 || str_index(entry, '@') < entry.n)
		return fail(
		    err, err_cap, "not a domain; write it as example.org");
	if (map_count(domains) >= ENTRIES_MAX)
		return fail(err, err_cap, "too many domains");
	map_set(domains, domain, l);
	return true;
}

static bool
add_domain(void *arg, struct str entry, char *err, size_t err_cap)
{
	struct locals *l = arg;

	return add_to(l, l->domains, entry, err, err_cap);
}

static bool
add_internal(void *arg, struct str entry, char *err, size_t err_cap)
{
	struct locals *l = arg;

	if (!str_eq(entry, STR("local_domains")))
		return add_to(l, l->internal, entry, err, err_cap);
	l->local_is_internal = true;
	return true;
}

static bool
add_user(void *arg, struct str entry, char *err, size_t err_cap)
{
	size_t equals = str_rindex(entry, '=');
	struct str address = str_trim(str_sub(entry, 0, equals));
	struct str user = str_trim(str_sub(entry, equals + 1, entry.n));
	char text[LOCALS_KEY_MAX];
	struct locals *l = arg;
	struct names *names;
	struct str key = {text, l->key(address, true, text)};

	if (key.n == 0 || user.n == 0)
		return fail(err, err_cap,
		    "not address=user; write it as "
		    "alice.smith@example.org=alice");
	names = map_find(l->users, key);
	if (names == NULL) {
		if (map_count(l->users) >= ENTRIES_MAX)
			return fail(err, err_cap, "too many addresses");
		names = xcalloc(1, sizeof(*names));
		map_set(l->users, key, names);
	}
	if (names->n == LOCALS_USERS_MAX)
		return fail(err, err_cap,
		    "too many users for this address; the maximum is 16");
	names->v[names->n++] = str_dup(user);
	return true;
}

struct locals *
locals_new(enum locals_source source,
    size_t (*key)(struct str address, bool fold_tag, char out[LOCALS_KEY_MAX]))
{
	struct locals *l = xcalloc(1, sizeof(*l));

	l->refs = 1;
	l->source = source;
	l->key = key;
	l->domains = map_new();
	l->internal = map_new();
	l->local_is_internal = true;
	l->users = map_new();
	return l;
}

bool
locals_add_domain(struct locals *l, struct str entry, char *err, size_t err_cap)
{
	return entries_read(entry, add_domain, l, err, err_cap);
}

void
locals_clear_internal(struct locals *l)
{
	map_free(l->internal, NULL);
	l->internal = map_new();
	l->local_is_internal = false;
}

bool
locals_add_internal(
    struct locals *l, struct str entry, char *err, size_t err_cap)
{
	return entries_read(entry, add_internal, l, err, err_cap);
}

bool
locals_add_user(struct locals *l, struct str entry, char *err, size_t err_cap)
{
	return entries_read(entry, add_user, l, err, err_cap);
}

void
locals_add_network(struct locals *l, const struct ip_net *net)
{
	l->nets = xrealloc(l->nets, (l->net_count + 1) * sizeof(*l->nets));
	l->nets[l->net_count++] = *net;
}

struct locals *
locals_ref(struct locals *l)
{
	l->refs++;
	return l;
}

void
locals_free(struct locals *l)
{
	if (l == NULL || --l->refs > 0)
		return;
	map_free(l->domains, NULL);
	map_free(l->internal, NULL);
	map_free(l->users, names_free);
	free(l->nets);
	free(l);
}

/* Not those that may be somebody else's behind our name. */
static bool
has_domain(const struct locals *l, struct str key)
{
	return !mailbox_is_indirect(key) &&
	       map_find(l->domains, domain_of(key)) != NULL;
}

bool
locals_has(const struct locals *l, struct str address)
{
	char text[LOCALS_KEY_MAX];
	struct str key = {text, l->key(address, true, text)};

	return key.n > 0 && (has_domain(l, key) || map_find(l->users, key));
}

bool
locals_local_is_internal(const struct locals *l)
{
	return l->local_is_internal;
}

bool
locals_is_internal(const struct locals *l, struct str address)
{
	char text[LOCALS_KEY_MAX];
	struct str key;

	if (l == NULL ||
	    (map_count(l->internal) == 0 &&
		(!l->local_is_internal || map_count(l->domains) == 0)))
		return false;
	key = (struct str){text, l->key(address, true, text)};
	if (key.n == 0 || mailbox_is_indirect(key))
		return false;
	return map_find(l->internal, domain_of(key)) != NULL ||
	       (l->local_is_internal &&
		   map_find(l->domains, domain_of(key)) != NULL);
}

bool
locals_has_domains(const struct locals *l)
{
	return l != NULL && map_count(l->domains) > 0;
}

bool
locals_has_client(const struct locals *l, const struct ip *client)
{
	if (client->family == IP_NONE || ip_is_loopback(client))
		return true;
	for (size_t i = 0; l != NULL && i < l->net_count; i++) {
		if (ip_net_has(&l->nets[i], client))
			return true;
	}
	return false;
}

bool
locals_is_foreign(const struct locals *l, struct str login)
{
	struct str domain = domain_of(login);

	return map_count(l->domains) > 0 && str_index(login, '@') < login.n &&
	       map_find(l->domains, domain) == NULL;
}

void
locals_each_user(
    const struct locals *l, struct str address, locals_user_fn *fn, void *arg)
{
	char text[LOCALS_KEY_MAX];
	struct str key = {text, l->key(address, true, text)};
	const struct names *names = map_find(l->users, key);

	for (size_t i = 0; names != NULL && i < names->n; i++)
		fn(arg, str_from(names->v[i]), key);
	if (names != NULL || !has_domain(l, key))
		return;
	switch (l->source) {
	case LOCALS_ADDRESS:
		fn(arg, key, key);
		break;
	case LOCALS_LOCALPART:
		fn(arg, str_sub(key, 0, str_rindex(key, '@')), key);
		break;
	case LOCALS_ENVELOPE:
		fn(arg, (struct str){0}, key);
		break;
	}
}
