/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who wrote to whom in the last day, and how it went: what `weirctl explain
 * --policy` tries another configuration on. In memory alone, within a bound;
 * the oldest goes first, and nothing outlives a restart. Pure: times come in.
 * One thread.
 */
#ifndef GATE_HISTORY_H
#define GATE_HISTORY_H

#include "base/buf.h"
#include "base/ip.h"

#define HISTORY_SPAN_MS (86400 * INT64_C(1000))

enum history_flag {               /* of a recipient, bits */
	HISTORY_KNOWN = 1 << 0,   /* it was no stranger */
	HISTORY_EXEMPT = 1 << 1,  /* nobody asked what it was */
	HISTORY_WAITED = 1 << 2,  /* held, or would have been (observe) */
	HISTORY_PUT_OFF = 1 << 3, /* by weir: whoever sends comes again */
};

struct history;

/* Where the mail came from; slices are borrowed. */
struct history_mail {
	int64_t at; /* wall ms, of its end */
	struct str source, policy;
	struct str user, sender, helo; /* as struct gate_facts has them */
	struct ip client;
	bool local, by_command, front_end;
	uint32_t count;        /* recipients */
	struct str recipients; /* for history_recipient */
};

struct history_recipient {
	unsigned flags;
	struct str address;
};

/* bytes_max 0: keeps nothing. */
struct history *history_new(size_t bytes_max);
void history_free(struct history *h); /* takes NULL */
/* What is past a smaller bound goes at once. */
void history_set_bytes_max(struct history *h, size_t bytes_max);
bool history_is_kept(const struct history *h);

/* One more recipient, appended to a buffer of the caller's. One that does not
 * fit any more is left out. */
void history_note(struct buf *recipients, unsigned flags, struct str address);
/* The end of a message: recipients as history_note wrote them, count is found
 * from them. Without recipients nothing is kept. */
void history_add(struct history *h, const struct history_mail *mail);

/* The mail at *cursor or the next one after it; *cursor is then behind it.
 * Starts with 0; false: that was all. Slices are valid until the next
 * history_add. */
bool history_next(
    const struct history *h, uint64_t *cursor, struct history_mail *out);
/* The first of mail->recipients, which moves on. */
bool history_recipient(
    struct history_mail *mail, struct history_recipient *out);

struct history_stats {
	size_t mails, bytes;
	int64_t since; /* wall ms, of the oldest; 0: there is none */
	bool was_cut;  /* there was no room for all of the last day */
};
/* now: wall ms. What is older than a day goes. */
void history_stats(struct history *h, int64_t now, struct history_stats *out);

#endif
