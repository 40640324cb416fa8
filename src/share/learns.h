/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom senders came to know at one relay, passed on to the others by a stream:
 * each relay keeps its own memory of acquaintances, and reads what is new from
 * where it was. The owner keeps that place, so that a relay that was down goes
 * on there; where the stream does not reach back so far, it says so. What
 * cannot be handed over now waits, up to a number.
 *
 * A recipient is named by its hash under the site's secret, a sender by its
 * key, sealed. Event loop's thread.
 */
#ifndef SHARE_LEARNS_H
#define SHARE_LEARNS_H

#include "share/stream.h"

#define LEARNS_TTL_MS (40 * 24 * INT64_C(3600000))
#define LEARNS_ASKED_MAX 256
#define LEARNS_WAITING_MAX 20000 /* not handed over; then they are left out */
#define LEARNS_SENDER_MAX 512

struct learns;

enum learns_what {
	LEARNS_KNOWS = 1, /* the sender's mail went there, or was imported */
	LEARNS_FORGET = 2,
	LEARNS_MET = 3,         /* incoming mail named it, says one relay */
	LEARNS_MET_COUNTED = 4, /* the same, and the site's rate had room */
};

struct learns_record {
	enum learns_what what;
	uint64_t relay;       /* set by learns_note */
	uint64_t destination; /* the recipient's name at all relays; or 0 */
	uint8_t why;
	uint32_t day; /* of the last mail, or of FORGET; since 1970 */
	/* Of MET: where that mail came from, hashes under the site's secret. */
	uint16_t domain, network;
	struct str sender; /* borrowed */
	uint64_t own;      /* of learns_ask: this relay's, not passed on */
};

struct learns_rate {
	uint32_t count; /* 1 at least */
	int64_t window_ms;
};

struct learns_ops {
	void (*on_record)(void *arg, const struct learns_record *r);
	/* So many were missed; 0: it cannot be said how many. */
	void (*on_gap)(void *arg, uint64_t missed);
	void (*on_full)(void *arg); /* the first that was left out */
	/* Of learns_ask. is_known: the site knows it now. */
	void (*on_answer)(
	    void *arg, const struct learns_record *r, bool is_known);
};

/* link, seal and ops are borrowed and live longer. relay: this one's name. */
struct learns *learns_new(struct loop *loop, struct redis_link *link,
    const struct seal *seal, const char *prefix, const char *relay,
    struct stream_mark mark, const struct learns_ops *ops, void *arg);
void learns_free(struct learns *l);  /* takes NULL; after the link */
void learns_start(struct learns *l); /* the link is up */
void learns_note(struct learns *l, const struct learns_record *r);
/* Incoming mail would make somebody known (MET): the site's rate for the sender
 * decides, and the other relays are told. One that is being asked about is not
 * asked about twice; past LEARNS_ASKED_MAX the answer is no, at once. Without
 * an answer it is yes, as it may have been passed on, and is noted as MET.
 * False: nobody can be asked, on_answer does not come. */
MUST_CHECK bool learns_ask(struct learns *l, const struct learns_record *r,
    const struct learns_rate *rate);
/* Another relay has forgotten whom it knows: what waits of that does not go
 * behind it. */
void learns_drop(struct learns *l, struct str sender);
/* All up to here was given to on_record. */
struct stream_mark learns_mark(const struct learns *l);

/* What is sealed; for tests. False: it is no such text, or of another version.
 * sender is borrowed. */
MUST_CHECK bool learns_write(const struct learns_record *r, struct buf *out);
MUST_CHECK bool learns_read(struct str in, struct learns_record *out);

#endif
