/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buckets of a few places, by a hash of the bare name and the password's; in
 * each the least recently used goes first.
 */
#include "gate/spellings.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 4
#define BUCKETS (SPELLINGS_MAX / WAYS)
#define BARE_MAX 1200

struct place {
	uint64_t account;
	uint64_t used; /* 0: free */
	char *name;
};

struct spellings {
	uint64_t clock; /* calls */
	struct place places[BUCKETS][WAYS];
};

struct spellings *
spellings_new(void)
{
	return xcalloc(1, sizeof(struct spellings));
}

void
spellings_free(struct spellings *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (size_t j = 0; j < WAYS; j++)
			free(s->places[i][j].name);
	}
	free(s);
}

/* "DOMAIN\bob", "host!bob" and "bob%domain" are bob to one server or another,
 * and so is bob with anything after these. */
static bool
begins_tag(char c)
{
	return c == '+' || c == '#' || c == '%' || c == '@' || c == '(';
}

static bool
is_passed_over(char c)
{
	return c == '.' || c == '"' || c == ' ' || (c > 0 && c < ' ') ||
	       c == 0x7f;
}

/* The local part without what servers pass over, and the domain if it counts.
 * Beyond ASCII there are more ways to write one name (normal forms, width,
 * case, what SASLprep drops) than are worth telling apart. */
static size_t
bare(struct str name, bool with_domain, char out[BARE_MAX])
{
	size_t at = str_rindex(name, '@'), n = 0;
	struct str local = str_sub(name, 0, at), rest = local;

	for (size_t i = 0; i + 1 < local.n; i++) {
		if (local.p[i] == '\\' || local.p[i] == '!')
			rest = str_sub(local, i + 1, local.n);
	}
	for (size_t i = 0; i < rest.n && n < BARE_MAX; i++) {
		if (rest.p[i] & 0x80) {
			out[0] = (char)0x80;
			n = 1;
			break;
		}
		if (begins_tag(rest.p[i]) && n > 0)
			break;
		if (!is_passed_over(rest.p[i]))
			out[n++] = rest.p[i];
	}
	for (size_t i = at; with_domain && i < name.n && n < BARE_MAX; i++)
		out[n++] = name.p[i];
	return n;
}

struct str
spellings_first(
    struct spellings *s, struct str name, bool with_domain, uint64_t proof)
{
	char text[BARE_MAX];
	struct place *bucket, *oldest;
	uint64_t account;

	if (proof == 0 || name.n == 0)
		return name;
	account = hash_bytes(text, bare(name, with_domain, text), proof);
	bucket = oldest = s->places[account % BUCKETS];
	s->clock++;
	for (size_t i = 0; i < WAYS; i++) {
		struct place *p = &bucket[i];

		if (p->used > 0 && p->account == account) {
			p->used = s->clock;
			return str_from(p->name);
		}
		if (p->used < oldest->used)
			oldest = p;
	}
	free(oldest->name);
	*oldest = (struct place){
	    .account = account, .used = s->clock, .name = str_dup(name)};
	return name;
}
