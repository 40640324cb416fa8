/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mail server's queue as text: its ids, the commands that act on them, and
 * what a listing of it says. No I/O. An id comes from the mail server's macro
 * {i} and ends on a command line of a privileged program: nothing but letters
 * and digits gets through, in the length that real ids have, so that none is
 * ever an option, a path or a word such as ALL.
 */
#ifndef DELIVERY_MTA_QUEUE_H
#define DELIVERY_MTA_QUEUE_H

#include "base/buf.h"

#define MTA_ID_MIN 6
#define MTA_ID_MAX 31

MUST_CHECK bool mta_id_ok(struct str id);

/* ---- commands ---- */

#define MTA_WORDS_MAX 32

struct mta_command {
	char *text; /* heap */
	char *words[MTA_WORDS_MAX + 1];
	size_t n;
	bool has_id; /* %i: one id a run; else ids on standard input */
	/* "unix:/path" instead of a program, in text; the one word that may
	 * follow goes there as a line before the ids. */
	const char *socket;
};

/* Words between blanks; no shell, no quotes. False and how the sentence about
 * the text goes on in err. */
MUST_CHECK bool mta_command_parse(
    const char *text, struct mta_command *out, char *err, size_t cap);
void mta_command_clear(struct mta_command *c);
/* The words with the id (mta_id_ok) for %i; NULL-terminated, each and all for
 * mta_command_free_argv. */
char **mta_command_argv(const struct mta_command *c, const char *id);
void mta_command_free_argv(char **argv);

/* ---- a listing ---- */

struct mta_ids { /* their hashes */
	uint64_t *v;
	size_t n, cap;
};

struct mta_listing { /* embedded */
	uint64_t seed;
	struct buf line;     /* the beginning of it */
	struct mta_ids held; /* on hold */
	struct mta_ids waiting;
	bool wants_waiting; /* else there are none */
	bool too_long;      /* more ids than anybody holds */
	uint64_t maildrop;  /* objects whose queue_name is "maildrop" */
};

/* Which messages are held, by what `postqueue -j` prints (objects whose
 * queue_name is "hold"), or in any other text by every word that could be an
 * id. Text comes in pieces. */
void mta_listing_init(struct mta_listing *l, uint64_t seed);
void mta_listing_feed(struct mta_listing *l, struct str piece);
/* False: not to be believed. mta_listing_has may be asked after it. */
MUST_CHECK bool mta_listing_end(struct mta_listing *l);
bool mta_listing_has(const struct mta_listing *l, const char *id);
/* With wants_waiting, to be set after mta_listing_init: on its way there, which
 * are the objects whose queue_name is "active", "incoming" or "deferred". */
bool mta_listing_waits(const struct mta_listing *l, const char *id);
void mta_listing_clear(struct mta_listing *l);

#endif
