/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Of a line in a listing only the beginning is read: an object of postqueue -j
 * names queue and id before its recipients. Ids are kept as hashes, eight bytes
 * each; two that meet would keep an entry that is gone, which its release ends.
 */
#include "delivery/mta_queue.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096
#define IDS_MAX 4000000
#define NOT_IN_COMMANDS "\"'`\\|&;<>()$*?[]#~{}!"

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z');
}

bool
mta_id_ok(struct str id)
{
	if (id.n < MTA_ID_MIN || id.n > MTA_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		if (!is_alnum(id.p[i]))
			return false;
	}
	return true;
}

/* ---- commands ---- */

static bool
refuse(char *err, size_t cap, const char *why)
{
	snprintf(err, cap, "%s", why);
	return false;
}

static bool
is_percent_ok(struct mta_command *c, const char *word)
{
	for (const char *p = strchr(word, '%'); p != NULL;
	     p = strchr(p + 1, '%')) {
		if (p[1] != 'i')
			return false;
		c->has_id = true;
	}
	return true;
}

/* Ends it in place. NULL: there is none. */
static char *
next_word(char **rest)
{
	char *w = *rest + strspn(*rest, " \t");
	size_t n = strcspn(w, " \t");

	*rest = w + n;
	if (w[n] != '\0')
		*(*rest)++ = '\0';
	return n > 0 ? w : NULL;
}

static bool
parse_words(struct mta_command *c, char *err, size_t cap)
{
	char *next = c->text, *w;

	while ((w = next_word(&next)) != NULL) {
		if (c->n == MTA_WORDS_MAX)
			return refuse(err, cap, "has too many words");
		if (!is_percent_ok(c, w) || (c->n == 0 && c->has_id))
			return refuse(err, cap,
			    "has a % that is not the %i of an argument");
		c->words[c->n++] = w;
	}
	if (c->n == 0 || c->words[0][0] != '/')
		return refuse(
		    err, cap, "does not begin with the full path of a program");
	return true;
}

static bool
parse_socket(struct mta_command *c, char *err, size_t cap)
{
	char *rest = c->text + strlen("unix:");

	if (strchr(rest, '%') != NULL)
		return refuse(
		    err, cap, "has a %, but a socket gets the ids as lines");
	c->socket = next_word(&rest);
	c->words[0] = next_word(&rest);
	c->n = c->words[0] != NULL ? 1 : 0;
	if (c->socket == NULL || c->socket[0] != '/')
		return refuse(err, cap, "has no full path behind unix:");
	if (next_word(&rest) != NULL)
		return refuse(err, cap, "has more than a word behind its path");
	return true;
}

bool
mta_command_parse(
    const char *text, struct mta_command *out, char *err, size_t cap)
{
	bool ok;

	*out = (struct mta_command){.text = xstrdup(text)};
	if (strpbrk(text, NOT_IN_COMMANDS) != NULL) {
		ok = refuse(err, cap,
		    "is run without a shell and cannot have quotes, pipes and "
		    "the like; write them into a script");
	} else if (str_starts(str_from(text), STR("unix:"))) {
		ok = parse_socket(out, err, cap);
	} else {
		ok = parse_words(out, err, cap);
	}
	if (!ok)
		mta_command_clear(out);
	return ok;
}

void
mta_command_clear(struct mta_command *c)
{
	free(c->text);
	*c = (struct mta_command){0};
}

static char *
put_id(const char *word, const char *id)
{
	struct buf out;
	const char *p;

	buf_init(&out, 65536);
	while ((p = strstr(word, "%i")) != NULL) {
		if (!buf_append(&out, word, (size_t)(p - word)) ||
		    !buf_append_str(&out, str_from(id)))
			break;
		word = p + 2;
	}
	(void)!buf_append_str(&out, str_from(word));
	return buf_take(&out);
}

char **
mta_command_argv(const struct mta_command *c, const char *id)
{
	char **argv = xcalloc(c->n + 1, sizeof(*argv));

	for (size_t i = 0; i < c->n; i++)
		argv[i] = put_id(c->words[i], id);
	return argv;
}

void
mta_command_free_argv(char **argv)
{
	for (size_t i = 0; argv[i] != NULL; i++)
		free(argv[i]);
	free(argv);
}

/* ---- a listing ---- */

void
mta_listing_init(struct mta_listing *l, uint64_t seed)
{
	*l = (struct mta_listing){.seed = seed};
	buf_init(&l->line, LINE_MAX_BYTES);
}

void
mta_listing_clear(struct mta_listing *l)
{
	buf_clear(&l->line);
	free(l->held.v);
	free(l->waiting.v);
	*l = (struct mta_listing){0};
}

static void
add(struct mta_listing *l, struct mta_ids *to, struct str id)
{
	if (!mta_id_ok(id))
		return;
	if (to->n >= IDS_MAX) {
		l->too_long = true;
		return;
	}
	if (to->n == to->cap) {
		to->cap = to->cap > 0 ? to->cap * 2 : 64;
		to->v = xrealloc(to->v, to->cap * sizeof(*to->v));
	}
	to->v[to->n++] = hash_str(id, l->seed);
}

/* The value of "name": "value"; a quote within a value has a backslash, so
 * that none can look like a name. */
static struct str
json_value(const char *line, const char *name)
{
	const char *p = strstr(line, name), *end;

	if (p == NULL)
		return STR("");
	p += strlen(name);
	end = strchr(p, '"');
	return end != NULL ? (struct str){p, (size_t)(end - p)} : STR("");
}

static void
take_words(struct mta_listing *l, const char *line)
{
	while (*line != '\0') {
		size_t n = 0;

		while (is_alnum(line[n]))
			n++;
		add(l, &l->held, (struct str){line, n});
		line += n > 0 ? n : 1;
	}
}

static bool
is_on_its_way(struct str queue)
{
	return str_eq(queue, STR("active")) || str_eq(queue, STR("incoming")) ||
	       str_eq(queue, STR("deferred"));
}

static void
take_line(struct mta_listing *l)
{
	char *line = buf_take(&l->line);
	struct str queue = json_value(line, "\"queue_name\": \"");

	if (line[0] != '{')
		take_words(l, line);
	else if (str_eq(queue, STR("hold")))
		add(l, &l->held, json_value(line, "\"queue_id\": \""));
	else if (str_eq(queue, STR("maildrop")))
		l->maildrop++;
	else if (l->wants_waiting && is_on_its_way(queue))
		add(l, &l->waiting, json_value(line, "\"queue_id\": \""));
	free(line);
}

void
mta_listing_feed(struct mta_listing *l, struct str piece)
{
	while (piece.n > 0) {
		size_t nl = str_index(piece, '\n');
		struct str part = str_sub(piece, 0, nl);

		part = str_sub(part, 0, buf_room(&l->line));
		(void)!buf_append_str(&l->line, part);
		if (nl == piece.n)
			return;
		take_line(l);
		piece = str_sub(piece, nl + 1, piece.n);
	}
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
sort(struct mta_ids *ids)
{
	if (ids->n > 0)
		qsort(ids->v, ids->n, sizeof(*ids->v), compare);
}

static bool
has(const struct mta_listing *l, const struct mta_ids *ids, const char *id)
{
	uint64_t h = hash_str(str_from(id), l->seed);

	return ids->n > 0 &&
	       bsearch(&h, ids->v, ids->n, sizeof(*ids->v), compare) != NULL;
}

bool
mta_listing_end(struct mta_listing *l)
{
	if (l->line.len > 0)
		take_line(l);
	sort(&l->held);
	sort(&l->waiting);
	return !l->too_long;
}

bool
mta_listing_has(const struct mta_listing *l, const char *id)
{
	return has(l, &l->held, id);
}

bool
mta_listing_waits(const struct mta_listing *l, const char *id)
{
	return has(l, &l->waiting, id);
}
