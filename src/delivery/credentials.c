/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole file stays in memory as one text that entries point into, so that
 * one overwrite wipes every password.
 */
#include "delivery/credentials.h"

#include "base/buf.h"
#include "os/secret_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FILE_MAX 65536
#define WORDS_MAX 3

struct credentials {
	unsigned refs;
	char *text;
	size_t size, count;
	struct credential v[];
};

struct reading {
	const char *path;
	const char *const *hops;
	size_t hop_count;
	char *err;
	size_t cap;
};

/* Cuts a line into words, each terminated in place. */
static size_t
split(char *line, char *words[WORDS_MAX + 1])
{
	size_t n = 0;

	while (n <= WORDS_MAX) {
		line += strspn(line, " \t\r");
		if (*line == '\0')
			break;
		words[n++] = line;
		line += strcspn(line, " \t\r");
		if (*line != '\0')
			*line++ = '\0';
	}
	return n;
}

static bool
is_hop(const struct reading *r, const char *word)
{
	for (size_t i = 0; i < r->hop_count; i++) {
		if (strcasecmp(r->hops[i], word) == 0)
			return true;
	}
	return false;
}

/* "user:password" in place. */
static bool
read_pair(char *word, struct credential *out)
{
	char *colon = strchr(word, ':');

	if (colon == NULL)
		return false;
	*colon = '\0';
	out->user = word;
	out->password = colon + 1;
	return true;
}

static bool
read_words(
    const struct reading *r, char *words[], size_t n, struct credential *out)
{
	bool ok = n >= 1 && n <= WORDS_MAX;

	*out = (struct credential){0};
	if (n == 3 || (n == 2 && is_hop(r, words[0]))) {
		out->next_hop = words[0];
		words++;
		n--;
	}
	if (out->next_hop != NULL && !is_hop(r, out->next_hop))
		return false;
	if (n == 1) {
		ok = ok && read_pair(words[0], out);
	} else if (ok) {
		out->user = words[0];
		out->password = words[1];
	}
	return ok && out->user[0] != '\0' && out->password[0] != '\0';
}

/* The error never quotes the line: a password may be in it. */
static bool
read_lines(const struct reading *r, struct credentials *c)
{
	char *next = c->text, *line, *words[WORDS_MAX + 1];

	for (unsigned number = 1; (line = next) != NULL; number++) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		line += strspn(line, " \t\r");
		if (*line == '\0' || *line == '#')
			continue;
		if (read_words(r, words, split(line, words), &c->v[c->count])) {
			c->count++;
			continue;
		}
		snprintf(r->err, r->cap,
		    "%s:%u: expected user:password, or one of next_hop as it "
		    "is configured and user:password",
		    r->path, number);
		return false;
	}
	if (c->count == 0)
		snprintf(
		    r->err, r->cap, "%s: contains no user:password", r->path);
	return c->count > 0;
}

static size_t
count_lines(struct str text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

struct credentials *
credentials_load(const char *path, const char *const *hops, size_t hop_count,
    char *err, size_t err_cap)
{
	struct reading r = {path, hops, hop_count, err, err_cap};
	struct credentials *c;
	struct buf content;
	size_t lines;

	buf_init(&content, FILE_MAX);
	if (!secret_file_read(path, &content, err, err_cap))
		return NULL;
	if (!buf_append(&content, "", 1)) {
		snprintf(err, err_cap, "%s: is too large", path);
		secret_file_wipe(&content);
		return NULL;
	}
	lines = count_lines(buf_str(&content));
	c = xcalloc(1, sizeof(*c) + lines * sizeof(c->v[0]));
	c->refs = 1;
	c->size = content.len;
	c->text = xmalloc(c->size);
	memcpy(c->text, buf_str(&content).p, c->size);
	secret_file_wipe(&content);
	if (strlen(c->text) + 1 != c->size)
		snprintf(err, err_cap, "%s: contains a zero byte", path);
	else if (read_lines(&r, c))
		return c;
	credentials_free(c);
	return NULL;
}

struct credentials *
credentials_ref(struct credentials *c)
{
	if (c != NULL)
		c->refs++;
	return c;
}

void
credentials_free(struct credentials *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	explicit_bzero(c->text, c->size);
	free(c->text);
	free(c);
}

const struct credential *
credentials_find(const struct credentials *c, const char *next_hop)
{
	const struct credential *any = NULL;

	for (size_t i = 0; c != NULL && i < c->count; i++) {
		if (c->v[i].next_hop == NULL)
			any = any != NULL ? any : &c->v[i];
		else if (strcasecmp(c->v[i].next_hop, next_hop) == 0)
			return &c->v[i];
	}
	return any;
}
