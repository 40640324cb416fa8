/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of a site: what is asked of one daemon, and concerns several that
 * work together. A command makes a round: first it runs here, then at each of
 * the others, one after the other, by a question and its answer. The table of
 * commands says what becomes of the answers (enum control_reach). Whoever is
 * not there is named in the end of the answer, and nobody waits for him.
 *
 * How a question gets to another daemon is the owner's to say. It is trusted to
 * come from one of the site; what it says is bounded all the same. Event loop's
 * thread.
 */
#ifndef CONTROL_SITE_H
#define CONTROL_SITE_H

#include "control/control.h"

#define CONTROL_ERRANDS_MAX 16 /* of others, at once */

struct control_peer {
	const char *name; /* borrowed until the loop goes on */
	bool is_up;
	int64_t silent_ms;
};

/* text.p NULL: no answer comes; it may have been done or not. Borrowed. */
typedef void control_reply_fn(void *arg, struct str text, int64_t now);

struct control_site {
	const char *(*self)(void *arg); /* own name; NULL: it is alone */
	/* NULL: others can be asked; else why not. */
	const char *(*trouble)(void *arg);
	/* The i-th other; false past the last. */
	bool (*peer)(void *arg, size_t i, struct control_peer *out);
	/* NULL: it cannot be asked. Never answers at once. */
	void *(*ask)(void *arg, const char *name, struct str text,
	    control_reply_fn *fn, void *fn_arg);
	void (*unask)(void *arg, void *asked);
	void (*answer)(
	    void *arg, const char *to, uint64_t question, struct str text);
};

/* Another daemon of the site asks. */
void control_site_question(struct control *control, const char *from,
    uint64_t question, struct str text, int64_t now);

/* ---- of a connection, for conn.c and answer.c ---- */

/* root: the request as it came, borrowed. place 0: from here on. False: it does
 * not run here; it has been asked elsewhere, or has failed. */
MUST_CHECK bool control_round_begin(struct control_conn *c, const json_t *root,
    struct control_cursor from, int64_t now);
/* A part of the round has ended in that. */
void control_round_part(struct control_conn *c, const struct control_end *end);
/* A row of the part that runs here. False: it was kept, and is not sent. */
MUST_CHECK bool control_round_row(
    struct control_conn *c, const char *kind, json_t *value);
/* The others of the site do it, too. */
bool control_round_is_on(const struct control_conn *c);
/* Where the next page begins. */
struct control_cursor control_round_cursor(const struct control_conn *c);
void control_round_free(struct control_conn *c); /* nobody is asked any more */
void control_errands_free(struct control *control);

#endif
