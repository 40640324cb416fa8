/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The decision: which source, which policy, a verdict per recipient. Owns the
 * throttle's state, the schedule of releases and the administrator's changes;
 * front ends only translate.
 *
 * Verdicts come through a callback: from within the call while state is in
 * memory, later when it is shared between machines. Front ends are written for
 * "later". Event loop's thread; `now` is monotonic ms, `wall` wall-clock ms.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include "gate/locals.h"
#include "gate/login.h"
#include "gate/policy.h"
#include "os/counters.h"
#include "os/events.h"
#include "os/log.h"
#include "spool/spool.h"

struct gate;
struct gate_txn;
struct gate_lesson;

#define GATE_RECIPIENT_MAX LOCALS_KEY_MAX /* bytes of a recipient's key */

struct gate_settings {
	struct policies *policies; /* the gate takes a reference */
	bool observe;
	const char *contact; /* who can help, copied; NULL: none named */
	/* Sources in memory, 0: any number. Past it the one with the least at
	 * stake makes room; where none may go new senders share one. What is
	 * frozen, waits, or is named by an administrator is always let in. */
	uint32_t senders_max;
	enum login_form login_form;
	struct locals *locals;  /* the gate takes a reference; NULL: nobody
				   learns from incoming mail */
	uint64_t inbound_bytes; /* of memory, for what was learnt */
	/* The form in which recipients are compared; returns its length. Not
	 * NULL (smtp_address_key). */
	size_t (*recipient_key)(
	    struct str address, bool fold_tag, char out[GATE_RECIPIENT_MAX]);
};

struct gate_freeze {
	const char *sender, *policy, *reason; /* reason in words */
	uint32_t queue_length, freeze_at;
	int64_t at; /* wall */
};

struct gate_callbacks {
	/* Recipients are RELEASED in the spool, or doomed: who claims
	 * should. */
	void (*on_released)(void *arg);
	/* Once per freeze, after it is durable. */
	void (*on_freeze)(void *arg, const struct gate_freeze *freeze);
	/* next_due may have become earlier. */
	void (*on_schedule)(void *arg);
};

struct gate *gate_new(const struct gate_settings *settings, struct spool *spool,
    struct events *events, struct counters *counters, struct log *log,
    const struct gate_callbacks *callbacks, void *arg);
/* Nothing of the gate may run after it: no spool_dispatch, only spool_close.
 * Every transaction has been ended. */
void gate_free(struct gate *g);
/* Frozen sources, snapshots and delay queues from the spool. 0 or errno. */
MUST_CHECK int gate_load(struct gate *g, int64_t now, int64_t wall);
/* New settings for whatever comes from now on; queues and freezes stay. Sources
 * with a queue or a freeze go over to the new policy of the same name (else to
 * the one that matches their name), others when they are next seen. The caller
 * may give its reference to the old policies back after it. */
void gate_reload(
    struct gate *g, const struct gate_settings *settings, int64_t now);
/* Releases that are due, idle expiry, write-behind of snapshots. After every
 * gate_run the caller sets its timer to gate_next_due; on_schedule tells when
 * it has to be set earlier in between. */
int64_t gate_next_due(const struct gate *g);
void gate_run(struct gate *g, int64_t now, int64_t wall);
/* Writes every changed snapshot (before exit). */
void gate_save(struct gate *g, int64_t now, int64_t wall);

/* ---- a transaction ---- */

struct gate_answer {
	enum throttle_verdict verdict;
	/* HOLD in observe mode becomes PASS; then this is set. */
	bool observed;
	/* Why, in words for a log line or a reply: "12 of 10 new recipients
	 * used; next in 40s". Borrowed for the call. */
	const char *why;
	/* REFUSE: the reply to give. text names the limit, how much of it is
	 * used, when it frees, and who can help. */
	unsigned code;
	const char *enhanced;
	const char *text;
};

/* May end the transaction, or drop the recipient. */
typedef void gate_answer_fn(void *arg, const struct gate_answer *answer);

/* A transaction begins with MAIL. The facts are copied. */
struct gate_txn *gate_begin(
    struct gate *g, const struct gate_facts *facts, int64_t now);
/* May this source send at all now, and under this address? PASS or REFUSE
 * (frozen, sender_addresses). A refusal counts as one refused recipient. Asked
 * at MAIL, and again at DATA: then it is also REFUSE when recipients pass and
 * the source was frozen after that, whatever when_frozen says. */
void gate_sender(struct gate_txn *txn, int64_t now, int64_t wall,
    gate_answer_fn *fn, void *arg);
/* One recipient, an address without brackets. Reserves. The same recipient
 * twice in a transaction gets the same verdict and reserves once; it counts in
 * gate_txn_count like any other. */
void gate_recipient(struct gate_txn *txn, struct str address, int64_t now,
    int64_t wall, gate_answer_fn *fn, void *arg);
/* The recipient that was answered last is not part of the transaction after
 * all (refused by the next hop). */
void gate_drop_last(struct gate_txn *txn, int64_t now);
/* Before the message is handed over (the final dot, or the mail server's
 * accept): PASS when what it spends is durable, at once when it spends nothing.
 * REFUSE: the source was frozen since, or its state could not be saved; then
 * cancel. A transaction may be ended while the answer is on its way, which then
 * does not come. */
void gate_secure(struct gate_txn *txn, int64_t now, int64_t wall,
    gate_answer_fn *fn, void *arg);
/* multi = whole and one recipient is held, or the reverse path has to wait:
 * then all wait together and none may be cut through. Asked at DATA. */
bool gate_txn_is_whole(const struct gate_txn *txn);
/* What the reverse path is to its source. NEW took from the allowance, HELD
 * makes the whole message wait: reports to either are cut down to headers. */
enum gate_path { GATE_PATH_KNOWN, GATE_PATH_NEW, GATE_PATH_HELD };
enum gate_path gate_txn_path(const struct gate_txn *txn);
const char *gate_txn_source(const struct gate_txn *txn);
const char *gate_txn_policy(const struct gate_txn *txn);
const struct policy_conf *gate_txn_conf(const struct gate_txn *txn);
/* Nothing in it waits, nothing took from the allowance, nobody learns from it:
 * whether the message is accepted in the end makes no difference. */
bool gate_txn_is_known(const struct gate_txn *txn);
/* For spool_put: hash and state of the i-th recipient that was asked and not
 * dropped or refused, in order. PASS recipients of a whole message are stored
 * RELEASED. */
size_t gate_txn_count(const struct gate_txn *txn);
enum throttle_verdict gate_txn_verdict(const struct gate_txn *txn, size_t i);
uint64_t gate_txn_destination(const struct gate_txn *txn, size_t i);
/* The message was accepted. tickets[i] for each recipient of gate_txn_count
 * (0 for those that were cut through). Frees txn. */
void gate_commit(
    struct gate_txn *txn, const uint64_t *tickets, int64_t now, int64_t wall);
/* The final dot has gone to the next hop, and no answer came, or one that came
 * too late for the client: recipients with reached[i] (of gate_txn_count)
 * count as reached, the others are given back. Frees txn. */
void gate_doubt(
    struct gate_txn *txn, const bool *reached, int64_t now, int64_t wall);
/* It was put off: the client keeps it and comes again. What passes is given
 * back; what must wait takes its place in the queue without mail, once however
 * often it is tried, and is known when its turn has come. Frees txn. */
void gate_defer(struct gate_txn *txn, int64_t now, int64_t wall);
/* It was not. Frees txn. */
void gate_cancel(struct gate_txn *txn, int64_t now);

/* ---- incoming mail ---- */

/*
 * Who writes to a user of ours is known to that user (learn_inbound). A
 * transaction does this by itself when its facts say so; a front end that ends
 * transactions before the message has ended keeps a lesson of its own.
 */
/* NULL: this message teaches nobody. Facts are copied. */
struct gate_lesson *gate_lesson_new(
    struct gate *g, const struct gate_facts *facts);
/* An accepted recipient. */
void gate_lesson_add(struct gate_lesson *lesson, struct str recipient);
/* The message was accepted. Frees it. */
void gate_lesson_learn(struct gate_lesson *lesson, int64_t now);
void gate_lesson_free(struct gate_lesson *lesson); /* takes NULL */

/* ---- the administrator ---- */

/* error: errno; count: recipients changed. */
typedef void gate_done_fn(void *arg, int error, uint64_t count);

enum gate_thaw { GATE_THAW_KEEP, GATE_THAW_RELEASE, GATE_THAW_DISCARD };

/* who: for the audit log. A sender never seen may be frozen too. */
void gate_freeze(struct gate *g, const char *sender, const char *who,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg);
/* ENOENT: not known; count is of recipients released or discarded. */
void gate_thaw(struct gate *g, const char *sender, enum gate_thaw then,
    const char *who, int64_t now, int64_t wall, gate_done_fn *fn, void *arg);
/* Releasing by hand makes the recipients known to their sender. */
void gate_release(struct gate *g, const struct spool_select *select,
    const char *who, int64_t now, int64_t wall, gate_done_fn *fn, void *arg);
/* What was released and waits for its next try is due; gate_release does that
 * too. */
void gate_flush(struct gate *g, const struct spool_select *select,
    const char *who, int64_t now, int64_t wall, gate_done_fn *fn, void *arg);
/* What is in the mail server's hold queue is deleted there, whole, later. */
void gate_discard(struct gate *g, const struct spool_select *select,
    const char *who, int64_t now, int64_t wall, gate_done_fn *fn, void *arg);

/* The mail server's hold queue has these messages no more, and nobody asked
 * weir for it: they leave the queues. */
void gate_forget(struct gate *g, const uint64_t *ids, size_t n, int64_t now,
    int64_t wall, gate_done_fn *fn, void *arg);

/* What the sender learnt from incoming mail goes; count is of addresses.
 * ENOENT: there is nothing. */
void gate_unlearn(struct gate *g, const char *sender, const char *who,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg);

struct gate_sender_info {
	const char *sender, *policy;
	struct throttle_source_info t; /* times monotonic */
	int64_t last_seen;             /* wall */
	int64_t next_release;          /* wall, INT64_MAX: none */
	int64_t frozen_at;             /* wall, 0: not frozen */
	uint32_t working_set_max, burst, freeze_at;
	uint32_t inbound, inbound_max; /* learnt; max 0: learns nothing */
	/* Foreign reverse paths since the start: counted as new, of these held,
	 * and the last that was held (NULL: none). */
	uint32_t new_paths, held_paths;
	const char *last_path;
};

/* Finds a sender as people write it: "alice@example.org", "192.0.2.1" or the
 * exact key. One who never sent but learnt from incoming mail is found, with
 * last_seen 0. */
bool gate_sender_find(struct gate *g, struct str name, int64_t now,
    int64_t wall, struct gate_sender_info *out);
/* Walks all; start with *pos = 0, ends with false. Strings are borrowed until
 * the next call of either. */
bool gate_sender_each(struct gate *g, size_t *pos, int64_t now, int64_t wall,
    struct gate_sender_info *out);
size_t gate_sender_count(const struct gate *g);
size_t gate_frozen_count(const struct gate *g);
/* Freezes since the start. Any thread: as long as it stays the same, nobody
 * was frozen, and a transaction need not be asked about again. */
unsigned gate_freezes(const struct gate *g);

#endif
