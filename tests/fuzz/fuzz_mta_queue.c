/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what the mail server's queue commands say, and how they are
 * written in the configuration. Checked: a listing means the same in whatever
 * pieces it comes; each word of a command ends up in its arguments, and a
 * queue id is all that comes to them.
 */
#include "delivery/mta_queue.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SEED 7
#define ID "4jWFs55yQQz1cQgP"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok, const char *what)
{
	if (!ok)
		panic("%s", what);
}

/* In pieces of this many bytes. */
static bool
list(struct mta_listing *l, struct str text, size_t piece)
{
	mta_listing_init(l, SEED);
	l->wants_waiting = true;
	for (size_t at = 0; at < text.n; at += piece)
		mta_listing_feed(l, str_sub(text, at, piece));
	return mta_listing_end(l);
}

static void
check_same(const struct mta_ids *whole, const struct mta_ids *parts)
{
	check(whole->n == parts->n, "in pieces it has other ids");
	check(whole->n == 0 ||
		  memcmp(whole->v, parts->v, whole->n * sizeof(*whole->v)) == 0,
	    "in pieces an id is another");
}

static void
fuzz_listing(struct str text, size_t piece)
{
	struct mta_listing whole, parts;

	check(list(&whole, text, text.n + 1) == list(&parts, text, piece),
	    "in pieces it is believed otherwise");
	check_same(&whole.held, &parts.held);
	check_same(&whole.waiting, &parts.waiting);
	mta_listing_clear(&whole);
	mta_listing_clear(&parts);
}

static size_t
count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL;
	     p += strlen(what))
		n++;
	return n;
}

static void
check_word(const char *word, const char *arg)
{
	size_t ids = count_of(word, "%i");

	check(strlen(arg) == strlen(word) + ids * (strlen(ID) - 2),
	    "an argument is longer than its word");
	check(strpbrk(arg, " \t;|&$`'\"%") == NULL,
	    "an argument holds what a shell would obey");
}

static void
fuzz_command(struct str text)
{
	char *copy = str_dup(text), err[160];
	struct mta_command c;
	char **argv;

	if (!mta_command_parse(copy, &c, err, sizeof(err))) {
		check(err[0] != '\0', "refused without a word");
		free(copy);
		return;
	}
	check(c.socket != NULL || c.words[0][0] == '/', "no full path");
	check(c.socket == NULL || !c.has_id, "a socket gets ids as lines");
	argv = mta_command_argv(&c, ID);
	for (size_t i = 0; i < c.n; i++)
		check_word(c.words[i], argv[i]);
	mta_command_free_argv(argv);
	mta_command_clear(&c);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text;

	if (size < 2)
		return 0;
	text = (struct str){(const char *)data + 2, size - 2};
	if (data[0] & 1)
		fuzz_listing(text, (size_t)data[1] + 1);
	else
		fuzz_command(text);
	return 0;
}
