/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One map of "login\taddress" and "login\t@domain".
 */
#include "gate/owners.h"

#include "base/mailbox.h"
#include "base/map.h"
#include "os/entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWNERS_MAX 1000000
#define KEY_MAX 1024

struct owners {
	struct map *pairs;
};

static bool
fail(char *err, size_t err_cap, const char *why)
{
	snprintf(err, err_cap, "%s", why);
	return false;
}

/* Empty: too long. */
static struct str
key_of(struct str login, struct str address, char out[KEY_MAX])
{
	char plain[MAILBOX_PLAIN_MAX];
	size_t n = login.n + 1;

	if (address.n > 0 && address.p[0] != '@')
		address = mailbox_plain(address, plain);
	if (n + address.n > KEY_MAX)
		return (struct str){NULL, 0};
	memcpy(out, login.p, login.n);
	out[login.n] = '\t';
	memcpy(out + n, address.p, address.n);
	n += address.n;
	for (size_t i = 0; i < n; i++) {
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] | 0x20);
	}
	return (struct str){out, n};
}

static struct str
next_word(struct str *line)
{
	static const char blanks[] = " \t,";
	struct str word = *line;
	size_t n = 0;

	while (word.n > 0 && strchr(blanks, word.p[0]) != NULL)
		word = str_sub(word, 1, word.n);
	while (n < word.n && strchr(blanks, word.p[n]) == NULL)
		n++;
	*line = str_sub(word, n, word.n);
	return str_sub(word, 0, n);
}

static bool
add_line(void *arg, struct str line, char *err, size_t err_cap)
{
	struct owners *o = arg;
	struct str login = next_word(&line), address = next_word(&line);
	char mem[KEY_MAX];

	if (address.n == 0)
		return fail(err, err_cap,
		    "no address after the login; write it as alice "
		    "sales@example.org @lists.example.org");
	for (; address.n > 0; address = next_word(&line)) {
		struct str key = key_of(login, address, mem);
		size_t at = str_rindex(address, '@');

		if (at == address.n || at + 1 == address.n || key.n == 0)
			return fail(err, err_cap,
			    "not an address; write it as sales@example.org, "
			    "or @example.org for the whole domain");
		if (map_count(o->pairs) >= OWNERS_MAX)
			return fail(err, err_cap, "too many addresses");
		map_set(o->pairs, key, o);
	}
	return true;
}

struct owners *
owners_read(const char *path, char *err, size_t err_cap)
{
	struct owners *o = xcalloc(1, sizeof(*o));
	size_t n = strlen(path) + sizeof("file:");
	char *entry = xmalloc(n);
	bool ok;

	snprintf(entry, n, "file:%s", path);
	o->pairs = map_new();
	ok = entries_read(str_from(entry), add_line, o, err, err_cap);
	free(entry);
	if (ok)
		return o;
	owners_free(o);
	return NULL;
}

void
owners_free(struct owners *o)
{
	if (o == NULL)
		return;
	map_free(o->pairs, NULL);
	free(o);
}

bool
owners_have(const struct owners *o, struct str login, struct str address)
{
	size_t at = str_rindex(address, '@');
	struct str domain = str_sub(address, at, address.n);
	char mem[KEY_MAX];
	struct str key = key_of(login, address, mem);

	if (key.n > 0 && map_find(o->pairs, key) != NULL)
		return true;
	if (domain.n < 2 || mailbox_is_indirect(address))
		return false;
	key = key_of(login, domain, mem);
	return key.n > 0 && map_find(o->pairs, key) != NULL;
}
