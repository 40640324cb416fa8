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

#include "gate/history.h"
#include "gate/locals.h"
#include "gate/login.h"
#include "gate/policy.h"
#include "gate/scope.h"
#include "os/counters.h"
#include "os/events.h"
#include "os/log.h"
#include "spool/spool.h"

struct gate;
struct share_ops; /* share/question.h */
struct gate_txn;
struct gate_observation;

#define GATE_RECIPIENT_MAX LOCALS_KEY_MAX /* bytes of a recipient's key */

struct gate_settings {
	struct policies *policies; /* the gate takes a reference */
	bool observe;
	const char *contact; /* who can help, copied; NULL: none named */
	/* Sources in memory, 0: any number. Past it the one with the least at
	 * stake makes room; where none may go new senders share one. What is
	 * frozen, waits, or is named by an administrator is always let in. */
	uint32_t senders_max;
	struct scope_rules *scopes; /* the gate takes a reference; NULL: none */
	enum login_form login_form;
	struct locals *locals;  /* the gate takes a reference; NULL: nobody
				   learns from incoming mail */
	uint64_t history_bytes; /* of memory, for the last day; 0: none */
	/* Of memory, for whom senders know; 0: that is not remembered. */
	uint64_t acquaintances_bytes;
	/* Where that is not 0 all of them stay in memory, whatever it takes,
	 * and none in the spool: for a replay. */
	bool acquaintances_scratch;
	/* The form in which recipients are compared; returns its length. Not
	 * NULL (smtp_address_key). */
	size_t (*recipient_key)(
	    struct str address, bool fold_tag, char out[GATE_RECIPIENT_MAX]);
};

struct gate_freeze {
	const char *sender, *policy, *reason; /* reason in words */
	uint32_t queue_length, freeze_at;
	uint32_t passed;  /* gate_sender_info has it */
	int64_t at;       /* wall */
	int64_t thaw_at;  /* wall, 0: not by itself */
	const char *who;  /* NULL: a rule */
	const char *note; /* by hand: why; NULL: none was given */
};

enum gate_thaw { GATE_THAW_KEEP, GATE_THAW_RELEASE, GATE_THAW_DISCARD };

struct gate_thawed {
	const char *sender, *who;
	enum gate_thaw then; /* what became of its queue */
	int64_t at;          /* wall */
};

/* What relays of a site tell each other of whom a sender knows. */
struct gate_known_news {
	const char *sender; /* key of the source */
	uint64_t site;      /* the recipient's name at all relays */
	unsigned why;       /* of struct acquaintance */
	uint32_t day;       /* of the last mail */
	/* Of what incoming mail named: where that came from, hashes that are
	 * the same at all relays. */
	uint16_t domain, network;
	/* It is within the rate of the site; else each relay has its own. */
	bool is_counted;
	uint64_t own; /* of on_met: for gate_met */
	struct throttle_limit rate;
};

struct gate_callbacks {
	/* Recipients are RELEASED in the spool, or doomed: who claims
	 * should. */
	void (*on_released)(void *arg);
	/* Its source is frozen: what the spool calls SENDING and was not begun
	 * goes back there. Each time somebody freezes it. */
	void (*on_stopped)(void *arg, const char *sender);
	/* It was thawed, durably. */
	void (*on_thawed)(void *arg, const struct gate_thawed *thawed);
	/* Once per freeze, after it is durable. */
	void (*on_freeze)(void *arg, const struct gate_freeze *freeze);
	/* A place in the queue that has no mail (gate_defer): its turn has
	 * come, and whoever asks for it again passes. NULL: nobody asks. */
	void (*on_turn)(void *arg, const char *sender, uint64_t destination);
	/* Mail of the sender went to so many new recipients, at once or in
	 * their turn, or so many messages named one (stranger_messages).
	 * NULL: nobody shares it. */
	void (*on_spent)(void *arg, const char *sender, uint32_t recipients,
	    uint32_t messages);
	/* Only with gate_share; each may be NULL. A sender has come to know a
	 * recipient. A held message to one was let go in its turn: who knows
	 * the recipient calls gate_note_sent. Whom a sender knows was
	 * forgotten. */
	void (*on_known)(void *arg, const struct gate_known_news *news);
	/* Incoming mail would make a recipient known, and there is room in the
	 * rate of this relay. True: the rate of the site is asked, and
	 * gate_met comes if it has room. False: nobody can be asked, and the
	 * others were told. */
	bool (*on_met)(void *arg, const struct gate_known_news *news);
	void (*on_let_go)(void *arg, const char *sender, uint64_t ticket);
	void (*on_forgotten)(void *arg, const char *sender);
	/* next_due may have become earlier. */
	void (*on_schedule)(void *arg);
};

struct gate *gate_new(const struct gate_settings *settings, struct spool *spool,
    struct events *events, struct counters *counters, struct log *log,
    const struct gate_callbacks *callbacks, void *arg);
/* Nothing of the gate may run after it: no spool_dispatch, only spool_close.
 * Every transaction has been ended. */
void gate_free(struct gate *g);
/* New recipients are asked about there, for several relays; ops NULL: no more.
 * refuses: while nobody answers they are told to come later, else this relay
 * decides. */
void gate_share(
    struct gate *g, const struct share_ops *ops, void *arg, bool refuses);
void gate_note_sent(
    struct gate *g, const char *sender, const char *recipient, int64_t wall);
/* Another relay told so. It need not be true of this one's policies, and is not
 * told to others again. */
void gate_known_elsewhere(
    struct gate *g, const struct gate_known_news *news, int64_t wall);
/* Of on_met: the site's rate has room. */
void gate_met(struct gate *g, const struct gate_known_news *news, int64_t wall);
void gate_not_met(struct gate *g); /* it has none: that is counted */
/* day: when, since 1970. False: so long ago that it does not count. */
MUST_CHECK bool gate_forgotten_elsewhere(
    struct gate *g, const char *sender, uint32_t day, int64_t wall);
/* Hands all of it that is not saved to the spool. False: some still waits in
 * memory for a row that is being read. */
MUST_CHECK bool gate_save_known(struct gate *g, int64_t wall);
/* It is there again: what was decided here meanwhile is told. */
void gate_share_again(struct gate *g, int64_t now);
/*
 * Frozen sources and snapshots from the spool, before the loop; blocks. 0 or
 * errno. Delay queues follow from the loop, by completions of the spool and
 * gate_run: a question about a sender whose queue is not there yet has it read
 * first and is answered later; releases by the schedule and times of freezes
 * wait for the end of all that. What is counted and shown meanwhile is what is
 * there by then. A disk that fails is tried again; questions that wait for it
 * get 451, and pass in observe mode. Mail that comes in, or is exempt by its
 * policy, waits for nothing.
 */
MUST_CHECK int gate_load(struct gate *g, int64_t now, int64_t wall);
/* Queues are still being read. */
bool gate_is_loading(const struct gate *g);
/* The same before the loop: waits up to that long for the end. False: the rest
 * follows. */
bool gate_load_wait(struct gate *g, int64_t ms);
/* New settings for whatever comes from now on; queues and freezes stay. Sources
 * with a queue or a freeze go over to the new policy of the same name (else to
 * the one that matches their name) at once, others within some gate_runs. The
 * caller may give its reference to the old policies back after it. */
void gate_reload(
    struct gate *g, const struct gate_settings *settings, int64_t now);
/* Releases that are due, idle expiry, write-behind of snapshots. After every
 * gate_run the caller sets its timer to gate_next_due; on_schedule tells when
 * it has to be set earlier in between. */
int64_t gate_next_due(const struct gate *g);
/* The same without what may be late for a while: saves that are written behind,
 * and the sweep for who is to be forgotten. */
int64_t gate_next_work(const struct gate *g);
void gate_run(struct gate *g, int64_t now, int64_t wall);
/* Writes every changed snapshot (before exit). */
void gate_save(struct gate *g, int64_t now, int64_t wall);

/* There is a policy of this name. */
bool gate_has_policy(const struct gate *g, struct str name);

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
	bool is_frozen; /* REFUSE: since the sender is */
};

/* May end the transaction, or drop the recipient. */
typedef void gate_answer_fn(void *arg, const struct gate_answer *answer);

/* A transaction begins with MAIL. The facts are copied. */
struct gate_txn *gate_begin(
    struct gate *g, const struct gate_facts *facts, int64_t now);
/* May this source send at all now, and under this address? PASS or REFUSE
 * (frozen, sender_addresses). A refusal counts as one refused recipient. Asked
 * at MAIL, and again at DATA: then it is also REFUSE when recipients pass and
 * the source was frozen after that, whatever when_frozen says, and when one of
 * the recipients found no room. */
void gate_sender(struct gate_txn *txn, int64_t now, int64_t wall,
    gate_answer_fn *fn, void *arg);
/*
 * Mail that comes in passes uncounted, from a frozen source too. It is mail
 * from a client without a login that is neither local nor in my_networks, to a
 * recipient in local_domains (or inbound_users). Where there are no
 * local_domains the mail server decides, if it tells its front end: stays means
 * that it delivers the recipient asked about next itself.
 */
void gate_next_stays(struct gate_txn *txn, bool stays);
/* One recipient, an address without brackets. Reserves. The same recipient
 * twice in a transaction gets the same verdict and reserves once; it counts in
 * gate_txn_count like any other. */
void gate_recipient(struct gate_txn *txn, struct str address, int64_t now,
    int64_t wall, gate_answer_fn *fn, void *arg);
/* The recipient that was answered last is not part of the transaction after
 * all (refused by the next hop). */
void gate_drop_last(struct gate_txn *txn, int64_t now);
/* What the next hop said to a recipient. enhanced: "" where there was none. */
struct gate_reply {
	unsigned code;
	const char *enhanced;
	bool to_rcpt; /* in answer to RCPT, not to the text */
};
/* It says that the address is unknown. */
bool gate_reply_is_unknown(const struct gate_reply *reply);
/* The same where the next hop refused it: an address that is unknown there
 * costs the sender credit (refused_credit). */
void gate_drop_refused(struct gate_txn *txn, const struct gate_reply *reply,
    int64_t now, int64_t wall);
/* The same for one that found no room in the spool (held_max). A message is
 * taken whole or not at all: gate_sender and gate_secure refuse it from here
 * on, as they do after a recipient that found no room in the queue
 * (queue_max). */
void gate_drop_for_room(struct gate_txn *txn, int64_t now);
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
/* It named a decoy, and its sender is frozen for it: of the message nothing
 * goes. */
bool gate_txn_is_decoyed(const struct gate_txn *txn);
/* That, or its sender is frozen and it is taken all the same. */
bool gate_txn_is_suspect(const struct gate_txn *txn);
/* Its client is nobody of ours: what is refused of it costs nobody. */
bool gate_txn_is_outside(const struct gate_txn *txn);
const char *gate_txn_source(const struct gate_txn *txn);
const char *gate_txn_policy(const struct gate_txn *txn);
const struct policy_conf *gate_txn_conf(const struct gate_txn *txn);
/* Nothing in it waits, nothing took from the allowance, nobody learns from it,
 * all had room: whether the message is accepted in the end makes no
 * difference. */
bool gate_txn_is_known(const struct gate_txn *txn);
/* For spool_put: hash and state of the i-th recipient that was asked and not
 * dropped or refused, in order. PASS recipients of a whole message are stored
 * RELEASED. */
size_t gate_txn_count(const struct gate_txn *txn);
enum throttle_verdict gate_txn_verdict(const struct gate_txn *txn, size_t i);
uint64_t gate_txn_destination(const struct gate_txn *txn, size_t i);
uint8_t gate_txn_lane(const struct gate_txn *txn, size_t i);
/* For a front whose client names recipients without waiting for the answers:
 * where the throttle is shared, all of them are asked about at once. look hands
 * over those that come behind the one in hand, in order, until fn returns
 * false; it is called from within gate_recipient, or later until the one in
 * hand is answered. It may guess: each is judged by gate_recipient in its turn,
 * and what was reserved for one that never comes is given back. */
typedef bool gate_ahead_fn(void *arg, struct str address);
struct gate_ahead {
	void (*look)(void *arg, gate_ahead_fn *fn, void *fn_arg);
	void *arg;
};
/* ahead is copied. */
void gate_look_ahead(struct gate_txn *txn, const struct gate_ahead *ahead);
/* For the log's lines about what is held, borrowed until the transaction ends:
 * the i-th recipient's address (NULL: unknown), and the mail server's queue id,
 * NULL: it gave none. */
struct gate_names {
	const char *(*address)(const void *arg, size_t i);
	const void *arg;
	const char *mta_id;
};
void gate_txn_name(struct gate_txn *txn, const struct gate_names *names);
/* The message was accepted. tickets[i] for each recipient of gate_txn_count
 * (0 for those that were cut through). Frees txn. */
void gate_commit(
    struct gate_txn *txn, const uint64_t *tickets, int64_t now, int64_t wall);
/* The final dot has gone to the next hop, and no answer came, or one that came
 * too late for the client: recipients with reached[i] (of gate_txn_count)
 * count as reached, one that was named twice if either was; the others are
 * given back. Frees txn. */
void gate_doubt(
    struct gate_txn *txn, const bool *reached, int64_t now, int64_t wall);
/* It was put off: the client keeps it and comes again. What passes is given
 * back; what must wait takes its place in the queue without mail, once however
 * often it is tried, and is known when its turn has come. Frees txn. */
void gate_defer(struct gate_txn *txn, int64_t now, int64_t wall);
/* It was not. Frees txn. */
void gate_cancel(struct gate_txn *txn, int64_t now);

/*
 * ---- bounces ----
 *
 * Mail that goes on with an ENVID of weir's can be known when it bounces: new
 * recipients that are unknown then cost their sender credit, as those do that
 * the next hop refuses at once (refused_credit), but never the last of it.
 */
#define GATE_ENVID_MAX 72
/* The ENVID for mail that passes and came with none; message: its queue id,
 * always the same. False: it needs none. */
bool gate_txn_envid(
    struct gate_txn *txn, uint64_t message, char out[GATE_ENVID_MAX]);
/* The same for mail that was held. */
bool gate_envid(struct gate *g, const char *source, uint64_t message,
    char out[GATE_ENVID_MAX]);
/* A new recipient of it has the mail. */
void gate_sent(struct gate *g, const char *source, uint64_t message,
    uint64_t destination, int64_t now);
/* A report may be read: it is mail without an envelope sender. */
bool gate_txn_hears_bounces(const struct gate_txn *txn);
/* A recipient that a report calls failed. It counts when the report is accepted
 * and is of mail that weir sent on to that recipient; once. Between the last
 * recipient and the commit. Slices are borrowed. */
struct gate_bounced {
	struct str envid;
	struct str original; /* Original-Recipient; may be empty */
	struct str final;
	struct str status;
};
void gate_txn_hear_bounced(
    struct gate_txn *txn, const struct gate_bounced *bounced);

/* What became of a recipient that was held, and then let go: the next hop has
 * the mail, or has refused the recipient for good. Of mail with an envelope
 * sender. */
void gate_delivered(struct gate *g, const char *source, int64_t now);
/* address: as it was named; NULL: not known any more. */
void gate_undelivered(struct gate *g, const char *source, uint64_t destination,
    const char *address, const struct gate_reply *reply, int64_t now,
    int64_t wall);

/* ---- incoming mail ---- */

/*
 * Who writes to a user of ours is known to that user (learn_inbound). A
 * transaction does this by itself when its facts say so; a front end that ends
 * transactions before the message has ended keeps an observation of its own.
 */
/* NULL: this message teaches nobody. Facts are copied. */
struct gate_observation *gate_observation_new(
    struct gate *g, const struct gate_facts *facts);
/* An accepted recipient. */
void gate_observation_add(
    struct gate_observation *observation, struct str recipient);
/* The message was accepted. Frees it. */
void gate_observation_learn(
    struct gate_observation *observation, int64_t now, int64_t wall);
void gate_observation_free(
    struct gate_observation *observation); /* takes NULL */

/* The header of this message is of interest, and this address stands in it
 * (From, Reply-To, To, Cc): a decoy that was named to its users by incoming
 * mail freezes none of them. Between the last recipient and the commit. */
bool gate_txn_hears_names(const struct gate_txn *txn);
void gate_txn_hear_name(struct gate_txn *txn, struct str address);

/* ---- the administrator ---- */

/* The time, before completions of the spool are run: how long an administrator
 * has waited goes by it. */
void gate_set_now(struct gate *g, int64_t now);
/* error: errno; count: recipients changed. EINPROGRESS, for release, flush,
 * discard, and a thaw with either: so many by now, and the rest follows (of a
 * thaw its end, too), with a line in the log at its end; a stop waits for it.
 */
#define GATE_ANSWER_MS 500
typedef void gate_done_fn(void *arg, int error, uint64_t count);
/* Calls fn once, at once or later, when nothing of that is under way. What is
 * at gate_free is not carried out, and that of a thaw is logged. */
void gate_drain(struct gate *g, void (*fn)(void *arg), void *arg);

/*
 * By hand. A sender never seen may be frozen too, and one that is frozen gets
 * the new reason and time: without a time it stays so until it is thawed.
 * What a rule froze a time does not thaw; and what a rule would have frozen
 * meanwhile stays frozen when the time is over.
 */
#define GATE_NOTE_MAX 256
struct gate_freeze_order {
	const char *sender;
	const char *who;  /* for the audit log */
	const char *note; /* the reason, shown with the sender; NULL: as it was,
			     or none */
	int64_t for_ms;   /* thawed after it; 0: by hand alone */
	bool by_relay;    /* another relay froze it, and tells why in note */
};
void gate_freeze(struct gate *g, const struct gate_freeze_order *order,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg);
struct gate_thaw_order {
	const char *sender;
	enum gate_thaw then;
	const char *who;    /* for the audit log */
	const char *reason; /* the same; NULL: none is given */
};
/* ENOENT: not known; count is of recipients released or discarded. */
void gate_thaw_by(struct gate *g, const struct gate_thaw_order *order,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg);
/* The same without a reason. */
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
void gate_mta_forgot(struct gate *g, const uint64_t *ids, size_t n, int64_t now,
    int64_t wall, gate_done_fn *fn, void *arg);

/* Whom the sender knows is forgotten, but for its working set: whom it wrote
 * to, what was imported, and what it learnt from incoming mail. count is of
 * addresses. ENOENT: there is nobody. */
void gate_forget(struct gate *g, const char *sender, const char *who,
    int64_t now, int64_t wall, gate_done_fn *fn, void *arg);

/*
 * Acquaintances out of logs: the sender, as people write it, knows the
 * recipient, an address without brackets, and mail went to it last at that
 * time. No sender is made by it. After _new comes _end, from within the same
 * call of the loop.
 */
struct gate_import;
enum gate_imported {
	GATE_IMPORT_TAKEN,
	GATE_IMPORT_OLD,       /* before familiar_for */
	GATE_IMPORT_FUTURE,    /* more than a day ahead */
	GATE_IMPORT_NOBODY,    /* no name for a sender, or no address */
	GATE_IMPORT_NONE_KEPT, /* of this sender nobody is remembered */
	GATE_IMPORT_FULL, /* later: what waits to be saved fills the memory */
};
struct gate_import *gate_import_new(
    struct gate *g, const char *who, int64_t now, int64_t wall);
enum gate_imported gate_import_add(struct gate_import *im, struct str sender,
    struct str recipient, int64_t last);
/* fn when they are on disk, with an entry in the audit log; count is of those
 * taken. EIO: what is stored of a sender could not be read. */
void gate_import_end(struct gate_import *im, gate_done_fn *fn, void *arg);

/* The same happened at another relay that shares the sender, which need not
 * have been seen here. */
void gate_spent_elsewhere(struct gate *g, const char *sender,
    uint32_t recipients, uint32_t messages, int64_t now);

struct gate_credit { /* for recipients that are refused; max 0: off */
	uint32_t left, max;
	bool is_empty; /* new recipients wait for it */
};

struct gate_networks { /* client_networks; max 0: off */
	uint32_t fresh, learnt, max;
	int64_t window_ms;
};

struct gate_sender_info {
	const char *sender, *policy;
	struct throttle_source_info t; /* times monotonic */
	int64_t last_seen;             /* wall */
	int64_t next_release;          /* wall, INT64_MAX: none */
	int64_t frozen_at;             /* wall, 0: not frozen */
	int64_t thaw_at;               /* wall, 0: not by itself */
	/* Its last message, wall; 0: none since the start, or since it was
	 * forgotten. */
	int64_t accepted_at;
	/* New recipients to whom mail went, at once or in their turn, within
	 * the last one to two days and since the start. */
	uint32_t passed;
	const char *freeze_note; /* NULL: none was given */
	uint32_t working_set_max, burst, freeze_at;
	/* Of its policy, borrowed; used: t.limit_used. */
	const struct throttle_limit *limits;
	uint32_t limit_count;
	/* Familiar recipients: allowance, queue_length and next_release of
	 * them. t has the new ones alone; waiting is of both. */
	bool has_familiar; /* the policy has them */
	struct throttle_source_info familiar;
	uint32_t familiar_burst, familiar_freeze_at;
	/* Whom it knows, of times past (familiar_for); of
	 * gate_sender_find within gate_recall alone, else not known. */
	struct gate_known {
		bool is_told;
		uint32_t total, reached, wrote, beside, imported;
		uint32_t met; /* from incoming mail alone, not expired */
	} known;
	uint32_t met_max; /* of these; 0: learns nothing from it */
	uint32_t waiting;
	/* Messages to strangers in the window of stranger_messages. */
	uint32_t stranger_messages, stranger_messages_max; /* max 0: none */
	bool is_spared;                                    /* never_freeze */
	struct gate_credit credit;
	struct gate_networks networks;
	/* Foreign reverse paths since the start: counted as new, of these held,
	 * and the last that was held (NULL: none). */
	uint32_t new_paths, held_paths;
	const char *last_path;
	/* Several relays share its throttle: new recipients that waited at the
	 * others when that was last heard. */
	bool is_shared;
	uint32_t waiting_elsewhere;
};

/* Reads whom the sender knows, for gate_sender_find within fn. fn is called
 * once: from within, or from the loop. */
typedef void gate_recalled_fn(void *arg);
void gate_recall(struct gate *g, struct str name, int64_t now, int64_t wall,
    gate_recalled_fn *fn, void *arg);
/* Finds a sender as people write it: "alice@example.org", "192.0.2.1" or the
 * exact key. One who never sent but learnt from incoming mail, or of which
 * signals count something, is found, with last_seen 0. */
bool gate_sender_find(struct gate *g, struct str name, int64_t now,
    int64_t wall, struct gate_sender_info *out);
/* The windows of scopes that the sender's last mail counted in: the i-th, from
 * 0 until false. Strings are borrowed until the next call of the gate. */
bool gate_sender_scope(struct gate *g, struct str name, size_t i, int64_t now,
    struct scope_info *out);
/* Names of senders in memory that may have been meant by one that is not
 * there: those with the same local part, whatever is written around it, who
 * wrote to somebody; logins before addresses. Looks at GATE_LIKE_STEPS senders
 * at most. Returns how many. */
enum { GATE_LIKE_MAX = 3, GATE_LIKE_STEPS = 20000 };
size_t gate_sender_like(struct gate *g, struct str name,
    char out[GATE_LIKE_MAX][POLICY_SOURCE_MAX]);
/* What the gate would answer now, and why. Takes nothing: no reservation, no
 * source is made, nothing is learnt, counted or told. */
struct gate_question {
	struct str sender; /* as people write it; one never seen, too */
	struct str recipient;
	struct ip client;  /* IP_NONE: not told */
	bool knows_decoys; /* whoever asks may know which they are */
	int64_t now, wall;
};
struct gate_explanation { /* borrowed for the call */
	const char *sender, *policy;
	bool is_known; /* the sender is in memory */
	bool is_spared;
	int64_t frozen_at; /* wall, 0: not frozen */
	const struct throttle_policy *throttle;
	struct throttle_source_info t; /* before the question */
	const struct scope_info *scopes;
	size_t scope_count;
	struct gate_credit credit;
	struct gate_networks networks;
	/* NULL: the policy has no familiar recipients. */
	const struct throttle_policy *familiar;
	struct throttle_source_info familiar_t;
	/* "recent", "familiar" or "stranger"; NULL: it counts as none. */
	const char *tier;
	struct gate_answer answer; /* to MAIL where that is refused */
	int64_t due; /* wall, of what would wait; INT64_MAX: no such moment */
	const char *change; /* what would change it, in words */
};
typedef void gate_explained_fn(void *arg, const struct gate_explanation *x);
/* fn is called once: from within, or from the loop when whom the sender knows
 * had to be read. The question is copied. */
void gate_explain(struct gate *g, const struct gate_question *q,
    gate_explained_fn *fn, void *arg);
/* Mail of the last day that was taken or put off. */
struct history *gate_history(struct gate *g);
/* The recipient is no stranger to whoever sends with these facts, as if mail
 * had reached it a while ago: for a replay, which begins in the middle. */
void gate_assume_known(struct gate *g, const struct gate_facts *facts,
    struct str recipient, int64_t now, int64_t wall);
/* A held recipient of a source, by the throttle's key and the hash of its
 * address as the spool has them. False: it does not wait there. */
struct gate_wait {
	uint32_t ahead; /* recipients that go before it */
	bool frozen;    /* nothing of the source moves */
	int64_t due;    /* wall ms; INT64_MAX: when somebody lets it go */
};
bool gate_expected(struct gate *g, struct str source, uint64_t destination,
    int64_t now, int64_t wall, struct gate_wait *out);
/* When the oldest message in a source's queue came, wall ms; 0: there is none,
 * or none with mail in the spool. */
int64_t gate_sender_oldest(struct gate *g, const char *sender);
/* Walks all; start with *pos = 0, ends with false. Strings are borrowed until
 * the next call of either. */
bool gate_sender_each(struct gate *g, size_t *pos, int64_t now, int64_t wall,
    struct gate_sender_info *out);
/* The same in parts, whoever comes and goes in between: each that is there all
 * the time comes once. Looks at up to max (1000) behind *mark, which is 0 at
 * the start, until fn returns false; *mark is behind the last that fn took.
 * False: the end was reached. */
MUST_CHECK bool gate_sender_page(struct gate *g, uint64_t *mark, size_t max,
    int64_t now, int64_t wall,
    bool (*fn)(void *arg, const struct gate_sender_info *info), void *arg);
size_t gate_sender_count(const struct gate *g);
size_t gate_frozen_count(const struct gate *g);
/* Whose new recipients wait, and who are not frozen. */
size_t gate_waiting_count(const struct gate *g);
/* Those that came to a part of a limit (warn_at), until they are well below it
 * again. */
size_t gate_near_count(const struct gate *g);
/* Freezes since the start. Any thread: as long as it stays the same, nobody
 * was frozen, and a transaction need not be asked about again. */
unsigned gate_freezes(const struct gate *g);

#endif
