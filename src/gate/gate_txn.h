/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transaction from inside: gate_txn.c begins it, gate_recipient.c asks,
 * gate_commit.c commits. Its source is looked up by key while nothing is
 * reserved, and is pinned by the first reservation, so that a client which only
 * says MAIL costs no entry in the table.
 */
#ifndef GATE_GATE_TXN_H
#define GATE_GATE_TXN_H

#include "gate/gate_internal.h"

#define INLINE_ENTRIES 2
#define NO_TWIN UINT32_MAX

struct txn_entry {
	struct throttle_reservation r;
	uint32_t twin_of; /* index of the first with this destination */
	bool is_reserved;
	bool is_observed;
	bool is_familiar; /* reserved, or waits, among familiar ones */
	bool is_answer;   /* passes so, since it wrote to the sender */
	bool is_reply;    /* of <> to who wrote in lately: not counted */
	bool is_incoming;
	uint8_t signal;     /* enum signal: why it waits */
	bool is_named;      /* strangers_take has counted it */
	bool is_over;       /* waits for stranger_messages */
	uint32_t scoped;    /* reserved in these scopes */
	uint64_t scoped_as; /* at those who share them; 0: nobody was asked */
	uint64_t site;      /* its name at all relays; 0: nobody shares */
	uint64_t shared;    /* reserved there; 0: nobody was asked */
	uint8_t verdict;    /* as it was answered */
};

struct gate_txn {
	struct gate *g;
	uint64_t number; /* in the log */
	const struct policy *policy;
	struct txn_path *path;       /* of gate_path.c; NULL: it is free */
	struct throttle_source *src; /* while reserved > 0 */
	struct scope_pins *scopes;   /* NULL: none */
	struct naming *naming;       /* of gate_named.c; NULL: none */
	struct bounces *bounces;     /* of gate_bounce.c; NULL: none */
	uint64_t message; /* under which it has an ENVID; 0: it has none */
	struct gate_observation *observation; /* NULL: nobody learns from it */
	struct txn_history *history;          /* NULL: none is kept */
	struct gate_secure_op *securing;      /* NULL: nothing is on its way */
	struct familiar_later *later;         /* NULL: no question is open */
	struct load_later *loading;   /* NULL: none waits for its queue */
	struct shared_later *sharing; /* NULL: nobody else is asked */
	struct gate_ahead front;      /* look NULL: it tells nothing */
	/* Of gate_shared_ahead.c; NULL: none. */
	struct shared_ahead *ahead[SHARE_LANES];
	struct { /* for those who share; told at the end */
		struct share_step *steps;
		size_t n;
	} told[SHARE_LANES];
	struct share_scope_step *scope_steps; /* the same of scopes */
	size_t scope_steps_n;
	uint64_t site; /* of the recipient in hand */
	struct txn_entry *entries;
	uint32_t n, cap;
	uint32_t reserved;
	uint32_t twins;
	bool is_exempt;
	bool is_outside; /* its client is nobody of ours */
	bool is_local;   /* a program of this machine */
	bool is_program; /* nobody has logged in, or not for its source */
	bool is_counted; /* strangers_take has counted it */
	bool is_barred;  /* stranger_messages made a recipient wait */
	bool by_command; /* it cannot be told to come later */
	bool has_routes, next_stays;
	bool did_stay; /* of the recipient in hand */
	struct ip client;
	uint64_t network;   /* of a login's client; 0: none */
	uint64_t answer_to; /* the sender, as <> would reach it; 0: nobody */
	uint32_t strangers; /* of a blast, and how many of them wait */
	uint32_t blast;
	bool made;        /* its source was made by it */
	bool was_secured; /* what is given back has to be saved */
	bool has_sender;  /* no bounce */
	bool is_decoyed;  /* it named a decoy, and froze its sender */
	bool is_short;    /* a recipient found no room: none is taken */
	bool can_drop;    /* the last entry was the last answer */
	bool is_loaded;   /* the queue of its source is there */
	bool is_unread;   /* observe mode goes on without it */
	const struct gate_names *names; /* at the commit; NULL: none */
	struct txn_entry first[INLINE_ENTRIES];
	size_t key_n;
	char key[];
};

static inline struct str
txn_key(const struct gate_txn *txn)
{
	return (struct str){txn->key, txn->key_n};
}

/* Reserved as somebody new to the source. */
static inline bool
entry_is_stranger(const struct txn_entry *e)
{
	return e->is_reserved && !e->is_familiar &&
	       e->r.reason != THROTTLE_KNOWN && e->r.reason != THROTTLE_FROZEN;
}

/* NULL: it has none (yet). */
static inline struct throttle_source *
txn_source(const struct gate_txn *txn)
{
	return txn->src != NULL ? txn->src : source_find(txn->g, txn_key(txn));
}

/* gate_recipient.c: a frozen source holds it. */
bool txn_holds_when_frozen(const struct gate_txn *txn);
/* gate_recipient.c: throttle_reserve, where a frozen source may hold. */
void txn_reserve(const struct gate_txn *txn, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out);
/* gate_txn.c: its source, made where it is missing. When the table is full and
 * nobody may go, the transaction counts from here on for the one that new
 * senders share. */
struct throttle_source *txn_need_source(struct gate_txn *txn, int64_t now);
/* gate_txn.c: the throttle that an entry is reserved in, and the source there.
 */
struct throttle *txn_lane(const struct gate_txn *txn, const struct txn_entry *e,
    struct throttle_source **src);
/* gate_txn.c: gate_drop_last, without a line in the log. */
void txn_drop_last(struct gate_txn *txn, int64_t now);
/* gate_txn.c: what is reserved for it, before it leaves the transaction. */
void txn_give_back(
    struct gate_txn *txn, const struct txn_entry *e, int64_t now);
/* gate_txn.c: one reservation less; the last one unpins the source. */
void txn_unpin(struct gate_txn *txn);
/* gate_txn.c: all is committed or given back; and where nothing was accepted, a
 * source that was made for it goes with it. */
void txn_end(struct gate_txn *txn);
void txn_end_blank(struct gate_txn *txn, int64_t now);
/* gate_txn.c: what was to pass waits, whatever was answered. */
void txn_hold_all(struct gate_txn *txn, int64_t now);
/* gate_recipient.c: the transaction ends, and with it a question that waits for
 * its queue. */
void loading_drop(struct gate_txn *txn);
/* gate_recipient.c: mail to it comes in. */
bool txn_is_incoming(const struct gate_txn *txn, struct str address);
/* gate_answer.c: what the transaction spends could not be saved. */
void txn_refuse_unsaved(struct gate_txn *txn, bool full, int64_t now,
    int64_t wall, gate_answer_fn *fn, void *arg);
/* gate_signals.c: why a stranger has to wait that might pass; with words for
 * it. */
enum signal signal_of(const struct gate_txn *txn);
void signal_words(const struct gate_txn *txn, enum signal signal,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX]);
/* The login is used from its client's network; it may be frozen for it. */
void signal_note_network(struct gate_txn *txn, int64_t now, int64_t wall);
/* A stranger of the transaction has the mail. */
void signal_passed(struct gate_txn *txn, int64_t now);
/* gate_named.c: a recipient of mail that comes in; those from txn->n on are
 * none any more; the message was accepted; and whether a decoy was named to the
 * transaction's sender. */
void naming_add(struct gate_txn *txn, struct str recipient);
void naming_cut(struct gate_txn *txn);
void naming_free(struct gate_txn *txn);
void naming_commit(struct gate_txn *txn, int64_t now);
bool naming_has(const struct gate_txn *txn, struct str decoy);
/* gate_bounce.c: what a report told; and a new recipient has the mail. */
void bounce_commit(struct gate_txn *txn, int64_t now, int64_t wall);
void bounce_free(struct gate_txn *txn);
void bounce_note_passed(
    struct gate_txn *txn, uint64_t destination, int64_t now);
/* gate_secure.c */
void secure_forget(struct gate_txn *txn); /* it ends */

#endif
