/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The relays of a site: which there are, which of them are there now, and what
 * one asks of another. Each leaves a card in the server every second; a letter
 * waits in the receiver's box until that looks into it. A letter may be lost,
 * with the server or with either relay: then there is no answer, and whoever
 * asked hears so. One that is copied or kept back is not read: it names what
 * the receiver's card said within the last minute, and is read once.
 *
 * A relay has the name that it was given. Two with the same name take each
 * other's letters; each finds that the other writes on its card.
 *
 * Event loop's thread.
 */
#ifndef SHARE_RELAYS_H
#define SHARE_RELAYS_H

#include "share/letter.h"
#include "share/redis_link.h"
#include "share/seal.h"

#define RELAYS_POLL_MS 250
#define RELAYS_CARD_MS 1000
#define RELAYS_DOWN_MS 5000   /* without a card: it is down */
#define RELAYS_ANSWER_MS 3000 /* without a part of the answer: none comes */
#define RELAYS_FORGET_MS (7 * 24 * INT64_C(3600000))
#define RELAYS_MAX 64
#define RELAYS_TEXT_MAX (2u << 20) /* bytes of a question or an answer */
#define RELAYS_ASKED_MAX 256       /* at once, by this one */

struct relays;

struct relays_ops {
	/* Another relay asks. One call of relays_answer is owed; for its sake
	 * question is kept. text is borrowed. */
	void (*on_question)(
	    void *arg, const char *from, uint64_t question, struct str text);
	/* An answer, or the rest of it, does not get there; why: in words.
	 * Whoever asked hears that there is none. */
	void (*on_unanswered)(void *arg, const char *to, const char *why);
	/* Another relay has this one's name, or has no longer. */
	void (*on_twin)(void *arg, bool is_there);
};

/* link and seal are borrowed and live longer; the others are copied. */
struct relays *relays_new(struct loop *loop, struct redis_link *link,
    const struct seal *seal, const char *prefix, const char *name,
    const struct relays_ops *ops, void *arg);
/* After the link. Nobody is called any more. Takes NULL. */
void relays_free(struct relays *r);
/* The link is up. */
void relays_start(struct relays *r);

const char *relays_name(const struct relays *r);
bool relays_are_reached(const struct relays *r); /* the server is there */
bool relays_has_twin(const struct relays *r);

struct relays_peer { /* borrowed until the loop goes on */
	const char *name;
	bool is_up;
	int64_t silent_ms; /* since its last card, by the server's clock */
};
/* The i-th other relay, in the order of the names; false past the last. */
bool relays_peer(const struct relays *r, size_t i, struct relays_peer *out);

/* text: the whole answer, borrowed; p NULL: none comes, and what was asked may
 * have been done or not. */
typedef void relays_fn(void *arg, struct str text, int64_t now);
struct relays_asked;
/* NULL: it cannot be asked now, and fn is not called. Never calls fn at once.
 */
struct relays_asked *relays_ask(struct relays *r, const char *name,
    struct str text, relays_fn *fn, void *arg);
/* fn does not come any more. */
void relays_unask(struct relays_asked *a);
/* False: the answer is too long, or the server is not there. */
MUST_CHECK bool relays_answer(
    struct relays *r, const char *to, uint64_t question, struct str text);

#endif
