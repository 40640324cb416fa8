/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is counted about a sender beside its throttle: its credit for refused
 * recipients, the new ones that a bounce may yet tell of, the networks that a
 * login is used from, and the decoys that incoming mail named to it. By the
 * source's key and not in the source, since it outlives what is forgotten
 * there. Bounded: at SIGNALS_MAX senders the one of which nothing was heard for
 * longest makes room. Pure; `now` is monotonic ms.
 */
#ifndef GATE_SIGNALS_H
#define GATE_SIGNALS_H

#include "base/list.h"
#include "base/str.h"
#include "gate/credit.h"
#include "gate/envid.h"
#include "gate/named.h"
#include "gate/networks.h"
#include "gate/sent.h"

#define SIGNALS_MAX 100000
#define SIGNALS_KEY_MAX 512

struct signals_book;

/* Of one sender; valid until the next signals_get or signals_sweep. */
struct signals {
	struct list changed; /* in no list: saved */
	struct list used;
	int64_t used_at;
	struct credit credit;
	struct networks networks;
	struct named named;
	struct sent *sent; /* NULL: nothing */
	bool is_untold;    /* other relays know of less credit, or networks */
	uint64_t tag;      /* envid_sender of the key */
	size_t key_n;
	char key[];
};

/* secret: of ENVIDs, copied. */
struct signals_book *signals_book_new(const unsigned char secret[ENVID_KEY]);
void signals_book_free(struct signals_book *b); /* takes NULL */
/* Borrowed. */
struct envid_key *signals_key(const struct signals_book *b);
size_t signals_count(const struct signals_book *b);
/* NULL: nothing is counted of it. */
struct signals *signals_find(const struct signals_book *b, struct str key);
/* By its name in ENVIDs. */
struct signals *signals_find_tag(const struct signals_book *b, uint64_t tag);
/* Made where it is missing; it has changed. NULL: no key is so long. */
struct signals *signals_get(
    struct signals_book *b, struct str key, int64_t now);
/* Nothing of it is left; false: nothing was. Its row is the caller's. */
bool signals_forget(struct signals_book *b, struct str key);

/* ---- stored state ---- */

#define SIGNALS_STATE_MARK 'K' /* the first byte of a state */
#define SIGNALS_STATE_MAX 4096
#define SIGNALS_ROW_MAX (SIGNALS_KEY_MAX + 16)

struct signals_state {
	char row[SIGNALS_ROW_MAX]; /* the key in the spool */
	unsigned char bytes[SIGNALS_STATE_MAX];
	size_t n; /* 0: the row is to be removed */
};
/* The next that was changed since it was saved, or that is gone. False: none.
 */
bool signals_next_changed(
    struct signals_book *b, int64_t now, struct signals_state *out);
bool signals_have_changed(const struct signals_book *b);
/* A row that was saved age_ms ago. False: it is none of ours, or damaged.
 * Read-back state is hostile: bounded and validated. */
MUST_CHECK bool signals_load(struct signals_book *b, struct str row,
    struct str state, int64_t age_ms, int64_t now);
/* Forgets, of up to steps senders, those of which nothing was heard for so
 * long that nothing counts any more. */
void signals_sweep(struct signals_book *b, size_t steps, int64_t now);

#endif
