/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate's modules share; nothing outside src/gate includes this.
 *
 *	gate.c		settings, reload, the run
 *	gate_source.c	the table of sources and what the gate keeps for each
 *	gate_txn.c	transactions: begin, cancel
 *	gate_commit.c	transactions: commit
 *	gate_commit_news.c	what is told and counted of it
 *	gate_recipient.c	their questions
 *	gate_answer.c	the answers, in words
 *	gate_decoy.c	those about decoys
 *	gate_secure.c	what a message spends, durable before it goes
 *	gate_tier.c	the limiter of familiar recipients
 *	gate_familiar.c	whom a sender knows, asked of its memory
 *	gate_recall.c	the same, read for an administrator
 *	gate_freeze.c	freezing, made durable
 *	gate_hand.c	freezing by hand, with a reason and for a time
 *	gate_release.c	releases by the schedule, made durable
 *	gate_admin.c	release, discard, thaw by hand
 *	gate_observation.c	incoming messages, and who learns from them
 *	gate_take_over.c	what an older weir kept of incoming mail
 *	gate_reached.c	whom the source wrote to, remembered
 *	gate_import.c	acquaintances out of logs
 *	gate_load.c	what the spool knows at start
 *	gate_refill.c	queues filled again
 *	gate_scope.c	limits of many senders together
 *	gate_scope_shared.c	the same of several relays
 *	gate_strangers.c	stranger_messages
 *	gate_spent.c	what a sender spends at several relays
 *	gate_shared.c	the throttle of several relays, followed
 *	gate_shared_ask.c	questions to their server
 *	gate_shared_ahead.c	the same before a recipient's turn
 *	gate_shared_touch.c	known recipients that mail went to
 *	gate_shared_tell.c	what it is told of recipients
 *	gate_shared_recipient.c	recipients that the others have a say in
 *	gate_habit.c	what a source did over days, stored
 *	gate_path.c	the reverse path, which is a destination too
 *	gate_path_shared.c	the same of several relays
 *	gate_named.c	decoys that incoming mail names
 *	gate_bounce.c	bounces of mail that passed
 *	gate_signals.c	what gives a stolen account away
 *	gate_signals_shared.c	the same where several relays count it
 *	gate_warn.c	who comes near a limit
 *	gate_history.c	mail of the last day, for a trial of another policy
 *	gate_words.c	limits and freezes in words
 *	gate_news.c	log lines and events
 *	gate_explain.c	what would be answered, and why
 *	gate_info.c	sources as the administrator sees them
 */
#ifndef GATE_INTERNAL_H
#define GATE_INTERNAL_H

#include "base/list.h"
#include "gate/acquaintances.h"
#include "gate/answers.h"
#include "gate/gate.h"
#include "gate/habit.h"
#include "gate/signals.h"
#include "gate/spellings.h"
#include "gate/strangers.h"
#include "share/question.h"

#include <stdatomic.h>

#define GATE_KEY_MAX (THROTTLE_KEY_MAX + 1)
#define GATE_RETRY_FIRST_MS 1000
#define GATE_SAVE_EVERY_MS 3000
#define GATE_NEW_MS (24 * INT64_C(3600000)) /* a local program is new */

struct gate {
	struct throttle *throttle;
	struct throttle *familiar; /* see gate_tier.h */
	struct spool *spool;
	struct events *events;
	struct counters *counters;
	struct log *log;
	uint64_t txn_count; /* so far: numbers them */
	const struct gate_callbacks *callbacks;
	void *arg;

	struct policies *policies;
	bool observe;
	char *contact;
	uint32_t senders_max;
	size_t room_pos; /* of the walk that looks for room */
	enum login_form login_form;
	size_t (*recipient_key)(
	    struct str address, bool fold_tag, char out[GATE_RECIPIENT_MAX]);
	uint64_t seed; /* of destinations; lives as long as the spool */
	struct locals *locals;
	bool learns; /* from incoming mail: some policy asks for it */
	struct acquaintances *acquaintances;
	bool remembers; /* there is memory for them */
	struct spellings *spellings;
	struct answers *answers; /* of <> to who wrote in */
	struct scope_book *scopes;
	struct signals_book *signals;
	struct history *history; /* NULL: in a copy for gate_explain */

	struct list dirty; /* struct gate_source, the longest first */
	struct list near;  /* the same, those that came near a limit */
	size_t near_count;
	struct list secures;  /* struct gate_secure_op */
	struct list freezes;  /* struct gate_freeze_op */
	struct list releases; /* struct gate_release_op */
	struct list admin;    /* struct gate_admin_op */
	struct list hands;    /* struct gate_hand, those with a time */
	struct list recalls;  /* struct recall */
	/* Of gate_drain; NULL: nobody waits. */
	void (*on_drained)(void *arg);
	void *drained_arg;
	/* See gate_shared.h; ops NULL: this relay is alone. */
	const struct share_ops *share_ops;
	void *share_arg;
	bool share_refuses;
	uint64_t share_ids;   /* of the last reservation */
	uint32_t share_times; /* that their server was there anew; from 1 on */
	struct list shared_asks, shared_sources;
	struct list shared_touched; /* struct shared_source */
	struct list scope_asks;     /* struct scope_ask */
	struct list scope_joins;    /* struct join, not sent yet */
	int64_t shared_due, touch_due;
	struct gate_release_op *collecting; /* during throttle_run */
	struct loading *load; /* gate_load.c; NULL: all queues are there */
	/* A freeze that the throttle reported within the call in hand. */
	struct throttle_source *froze;
	enum throttle_freeze_reason froze_reason;
	/* The same for one that may not be frozen. */
	struct throttle_source *spared;
	atomic_uint freeze_count; /* gate_freezes */
	bool is_quiet; /* load and free: the throttle's callbacks rest */
	bool is_dry;   /* a copy for gate_explain: nothing is told */

	int64_t now;  /* the last that was given */
	int64_t wall; /* of the last release_run */
	int64_t save_due, expire_due, full_told_at;
	int64_t refresh_due; /* of the sweep after a reload */
	int64_t scopes_due;  /* changed windows are saved */
	int64_t signals_due; /* the same of signals */
	size_t refresh_pos;
	int64_t hands_due; /* some freeze may end */
	int64_t retry_due; /* the earliest op that waits for another try */
	int64_t told_due;  /* what on_schedule's hearer knows */
	char shown_name[GATE_KEY_MAX]; /* of the last gate_sender_info */
};

/* ---- sources ---- */

struct gate_source {       /* the throttle's user pointer */
	struct list dirty; /* in no list: saved */
	struct list near;  /* in no list: nothing of warned is told */
	struct throttle_source *src;
	struct throttle_source *familiar; /* gate_tier.h; NULL: all is left */
	int64_t frozen_at; /* wall; 0: not frozen; freeze_set_at writes it */
	struct gate_hand *hand; /* how a person froze it; NULL: not told */
	/* New recipients that mail went to: of this day, and the one before,
	 * both counted from passed_from (monotonic). */
	uint32_t passed[2];
	int64_t passed_from;
	enum load_state {   /* gate_load.c */
		LOAD_DONE,  /* its queue is there */
		LOAD_WALK,  /* the walk of all brings it */
		LOAD_ALONE, /* it is read by itself */
	} load;
	bool is_stored;            /* the spool has a row */
	bool has_state;            /* what the spool has was read back */
	uint32_t accepted;         /* see gate_sender_info; s, rounded up */
	struct scope_pins *scopes; /* of its last mail; NULL: none */
	int64_t new_until;         /* a local program's; 0: seen long ago */
	/* Its first reverse path, as a destination; 0: none yet. */
	uint64_t home;
	uint32_t home_told; /* g->share_times when other relays heard of it */
	uint32_t new_paths, held_paths; /* since the start */
	char *last_path;                /* the last that was held, or NULL */
	/* never_freeze kept a freeze off, and that was told; until the queue
	 * is down to half. */
	bool was_spared;
	/* freeze_at, each limit, and familiar_freeze_at. */
	uint8_t warned[2 + THROTTLE_LIMITS_MAX];
	/* See gate_strangers.h and gate_habit.c. */
	struct strangers *strangers; /* NULL: none */
	struct habit habit;
	bool is_program; /* by its last mail: no login */
	bool was_barred; /* by stranger_messages, and that was told */
	bool is_habit_changed, has_habit_row;
	struct shared_source *shared[SHARE_LANES]; /* NULL: nothing is kept */
	uint32_t waiting_elsewhere; /* at other relays, when it was asked */
};

/* NULL: not there. */
struct throttle_source *source_find(const struct gate *g, struct str key);
/* Finds or makes it, and gives it the policy. NULL: the table is full (never
 * with `must`, but for a key that is too long). */
struct throttle_source *source_get(struct gate *g, struct str key,
    const struct policy *policy, int64_t now, bool must);
/* The one that new senders share while the table is full and nobody may go. */
struct throttle_source *source_overflow(struct gate *g, int64_t now);
/* Nobody gains by its being forgotten. */
bool source_may_go(struct gate *g, struct throttle_source *src, int64_t now);
/* After a reload: over to the policy of the same name, or to the one that
 * matches its name. */
void source_refresh(struct gate *g, struct throttle_source *src);
/* Out of the table, when it is as one never seen. */
void source_drop_blank(struct gate *g, struct str key, int64_t now);
struct gate_source *source_data(const struct throttle_source *src);
const struct policy *source_policy(const struct throttle_source *src);
/* The key, terminated. Returns out. */
const char *source_name(
    const struct throttle_source *src, char out[GATE_KEY_MAX]);
/* What waits, new recipients and familiar ones. */
uint32_t source_queue(struct gate *g, struct throttle_source *src);
/* Mail went to a new recipient, and how many there were lately. */
void source_note_passed(struct gate_source *data, int64_t now);
uint32_t source_passed(struct gate_source *data, int64_t now);
/* By what people type; NULL: none of its meanings is known. */
struct throttle_source *source_guess(const struct gate *g, struct str name);
/* The key for what people type, whether or not it is known. */
void source_resolve(
    const struct gate *g, struct str name, char out[GATE_KEY_MAX]);
/* A source that was never seen, named by a person. NULL: no name for one. */
struct throttle_source *source_add_named(
    struct gate *g, struct str name, int64_t now);
/* Its state has changed and is to be saved. */
void source_touch(struct gate *g, struct throttle_source *src);
void source_save(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall);
/* The same, and fn when it is durable. What is reserved counts as spent. */
void source_secure(struct gate *g, struct throttle_source *src, int64_t now,
    int64_t wall, spool_done_fn *fn, void *arg);
/* Saves up to max of the changed ones. */
void source_save_some(struct gate *g, size_t max, int64_t now, int64_t wall);
struct source_names {
	char sender[GATE_RECIPIENT_MAX], user[LOGIN_NAME_MAX];
};
/* The policy and the key of whoever sends, in *n bytes. The names in facts
 * become those that all spellings of them count under; they are in names. */
const struct policy *source_of(const struct gate *g, struct gate_facts *facts,
    struct source_names *names, char key[POLICY_SOURCE_MAX], size_t *n);
/* The policy for a source of which only the key is known. was: the name of the
 * one it had, may be empty. */
const struct policy *source_choose_policy(
    const struct gate *g, struct str key, struct str was);
void source_on_expire(void *arg, struct throttle_source *src);
bool source_may_expire(void *arg, struct throttle_source *src, int64_t now);
/* The parts of a stored state. */
struct source_state {
	struct str policy, familiar,
	    rest; /* familiar: tier_load; may be empty */
	uint64_t home;
};
MUST_CHECK bool source_split_state(struct str state, struct source_state *out);

/* Something is to be tried again at that time. */
void gate_retry_at(struct gate *g, int64_t at);
/* The same for what just failed: sets *retry_at, doubles *delay. */
void gate_retry_later(struct gate *g, int64_t *retry_at, int64_t *delay);

/* At gate_free: no completion comes any more. */
void secure_clear(struct gate *g);

/* ---- freezes ---- */

void freeze_on_throttle(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason);
void freeze_on_spare(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason);
/* NULL: a source that is not there is not frozen. */
bool freeze_is_on(const struct throttle_source *src);
/* 0: it is not frozen. */
void freeze_set_at(struct gate *g, struct throttle_source *src, int64_t at);
/* By a rule of the gate's own; one that is not spared. In a copy for
 * gate_explain in memory alone. */
void freeze_for(struct gate *g, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now, int64_t wall);
/* To be called before every throttle_commit and throttle_append of a source:
 * what was told of its queue may be told again. */
void freeze_rearm(struct gate *g, struct throttle_source *src);
/* And after every one: deals with g->froze and g->spared. */
void freeze_settle(struct gate *g, int64_t now, int64_t wall);
/* Takes what waits in observe mode alone out of the queue. */
void freeze_drop_observed(struct gate *g, struct throttle_source *src);
void freeze_retry(struct gate *g, int64_t now);
void freeze_clear(struct gate *g);

/* ---- by hand ---- */

/* What a person said of a freeze. It goes with the freeze. */
struct gate_hand {
	struct list entry; /* of g->hands; in no list: no time */
	struct throttle_source *src;
	int64_t thaw_at;          /* wall; 0: never by itself */
	bool is_thawing;          /* a thaw is on its way to the disk */
	char note[GATE_NOTE_MAX]; /* empty: no reason was given */
};
/* Sets it; nothing to tell: there is none. */
void hand_set(struct gate *g, struct throttle_source *src, const char *note,
    int64_t thaw_at);
void hand_drop(struct gate_source *data);
/* Ends the freezes whose time is over. */
void hand_run(struct gate *g, int64_t now, int64_t wall);
/* The thaw of this source came to nothing. */
void hand_thaw_failed(struct gate *g, const char *sender);
/* A freeze by hand of this source is on its way to the disk. */
bool freeze_is_under_way(const struct gate *g, const char *sender);
/* It stays frozen although its time is over; told like a freeze. */
void freeze_go_on(struct gate *g, struct throttle_source *src, const char *note,
    int64_t now, int64_t wall);
/* Thaws it, its queue kept. */
void admin_thaw_in_time(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall);

/* ---- queues ---- */

/* All of a source's queue, in order of arrival, before anything else happens to
 * it. A message is put back when the next begins. */
struct refill {
	struct gate *g;
	struct throttle_source *src;
	struct refill_item {
		uint64_t destination, ticket;
	} * v;
	size_t n, cap;
};
void refill_add(struct refill *r, struct throttle_source *src,
    uint64_t destination, uint64_t ticket);
void refill_end(struct refill *r);

/* ---- releases ---- */

void release_on_throttle(void *arg, struct throttle_source *src,
    uint64_t destination, uint64_t ticket);
/* A recipient of the source has left its queue. */
void release_add(struct gate *g, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, bool is_familiar);
void release_retry(struct gate *g, int64_t now, int64_t wall);
void release_run(struct gate *g, int64_t now, int64_t wall);
void release_clear(struct gate *g);

/* A thaw of this source is under way. */
bool admin_is_thawing(const struct gate *g, const char *sender);
void admin_clear(struct gate *g);
/* Saves what was imported. */
void admin_learn(struct gate *g, const char *who, uint64_t count, int64_t wall,
    gate_done_fn *fn, void *arg);

/* ---- incoming mail ---- */

/* Takes out recipients from this one on. */
void observation_cut(struct gate_observation *l, uint32_t recipient);
/* The users that this recipient stands for; later ones are taken out. */
void observation_add(
    struct gate_observation *l, uint32_t recipient, struct str address);
bool observation_is_empty(const struct gate_observation *l); /* takes NULL */
/* may: whether the message reached this recipient; NULL: all. */
void observation_learn(struct gate_observation *l,
    bool (*may)(const void *arg, uint32_t recipient), const void *arg,
    int64_t wall);

/* ---- whom sources know ---- */

/* At start: what an older weir stored of incoming mail. 0 or errno. */
MUST_CHECK int take_over_inbound(struct gate *g, int64_t wall);
/* is_scratch: never in the spool, as long as the gate lives. */
void reached_set_memory(struct gate *g, uint64_t bytes, bool is_scratch);
/* The source begins a message. */
void reached_want(struct gate *g, const struct policy *policy, struct str key,
    int64_t now, int64_t wall);
/* Its mail went to this destination, or is on its way there; site: its name at
 * all relays, or 0, when nobody is told. In a copy for
 * gate_explain: nothing. */
void reached_note(struct gate *g, const struct policy *policy, struct str key,
    uint64_t destination, uint64_t site, int64_t wall);

/* ---- gate_known.c ---- */

/* Of acquaintances_settings. */
bool known_on_met(void *arg, const char *source,
    const struct acquaintance_observation *observation, uint32_t day);
void known_on_new(
    void *arg, const char *source, uint64_t site, unsigned why, uint32_t day);
/* Of a recipient, its name at all relays; 0: nobody shares. */
uint64_t known_site(
    const struct gate *g, const struct policy *policy, struct str recipient);

/* ---- scopes ---- */

/* The pins for these facts, for scope_pins_free. NULL: in no scope. */
struct scope_pins *gate_scope_pins(struct gate *g, const struct policy *policy,
    const struct gate_facts *facts, struct str key,
    struct throttle_source *src);
/* What the spool knows of a source is all that is known of its mail. */
void gate_scope_load_source(struct gate *g, struct throttle_source *src);
int64_t gate_scope_may_release(
    void *arg, struct throttle_source *src, uint64_t destination, int64_t now);
void gate_scope_touch(struct gate *g);
/* p: those that a transaction has reserved in; NULL: all, up to max. */
void gate_scope_save(struct gate *g, struct scope_pins *p, size_t max,
    int64_t now, int64_t wall);

/* The same for one that the shared throttle lets go: scopes and the like. */
int64_t gate_scope_may_go(struct gate *g, struct throttle_source *src,
    uint64_t destination, int64_t now);

/* ---- several relays ---- */

/* When may_release may be asked again; now: this relay decides. */
int64_t shared_may_release(struct gate *g, struct throttle_source *src,
    enum share_lane lane, int64_t now);
/* A recipient was let go, and the server did not say so: always, and where it
 * is not there. */
void shared_note_untold(
    struct gate *g, struct throttle_source *src, enum share_lane lane);
void shared_note_alone(
    struct gate *g, struct throttle_source *src, enum share_lane lane);
/* Not by its turn. */
void shared_note_removed(
    struct gate *g, struct throttle_source *src, enum share_lane lane);
void shared_note_freeze(
    struct gate *g, struct throttle_source *src, bool is_frozen);
/* Somebody looks at it: what is told next is fresh. */
bool shared_look(struct gate *g, struct throttle_source *src);
void shared_run(struct gate *g, int64_t now, int64_t wall);
void shared_forget(struct gate_source *data); /* it goes */
void shared_clear(struct gate *g);            /* at gate_free */

/* ---- over days ---- */

#define HABIT_STATE_MARK 'H' /* the first byte of its state */

/* After something new was committed or let go. */
void habit_look(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall);
/* Before the source's own state. */
void habit_save(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall);
/* The source goes. */
void habit_forget(struct gate *g, struct throttle_source *src);
/* False: what is stored is of no known form. */
MUST_CHECK bool habit_load(
    struct gate *g, const struct spool_source *row, int64_t now, int64_t wall);

/* ---- warnings ---- */

/* After something new was committed or let go. */
void warn_source(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall);
/* Before a commit: what was told and has passed since may be told again. Takes
 * NULL. */
void warn_source_again(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall);
void warn_scopes(struct gate *g, int64_t now, int64_t wall);
/* Some of those near a limit may have moved away from it. */
void warn_sweep(struct gate *g, size_t steps, int64_t now, int64_t wall);
/* The source goes. */
void warn_forget(struct gate *g, struct gate_source *data);

/* ---- signals ---- */

enum signal { SIGNAL_NONE, SIGNAL_CREDIT, SIGNAL_NETWORKS };

/* The next hop refused a recipient of the source as unknown. site: its name at
 * all relays; 0: not known. hearsay: somebody says so, see credit.h. False: it
 * costs nothing. */
bool signal_refused(struct gate *g, struct str key, uint64_t destination,
    uint64_t site, bool hearsay, int64_t now, int64_t wall);
/* What follows from a count. */
void signal_act_credit(struct gate *g, struct str key,
    enum credit_result result, int64_t now, int64_t wall);
void signal_act_networks(struct gate *g, struct str key,
    const struct policy *policy, uint64_t network, enum networks_result result,
    int64_t now, int64_t wall);
/* 5.1.1 and the like. */
bool signal_is_unknown(const char *enhanced);
/* The policy of a source, whether or not it is in memory. */
const struct policy *signal_policy(const struct gate *g, struct str key);
void signal_credit(const struct gate *g, const struct policy *policy,
    struct str key, struct gate_credit *out);
void signal_networks(const struct gate *g, const struct policy *policy,
    struct str key, struct gate_networks *out);
/* By what people type, the key of one of which something is counted. */
bool signal_guess(struct gate *g, struct str name, char out[GATE_KEY_MAX]);
/* Some may have changed. */
void signal_touch(struct gate *g);
void signal_save_some(struct gate *g, size_t max, int64_t now, int64_t wall);
void signal_sweep(struct gate *g, size_t steps, int64_t now);

/* ---- words ---- */

#define WORDS_MAX 200
#define WORDS_REPLY_MAX 400

/* Why a reservation fell as it did. */
void words_why(struct gate *g, struct throttle_source *src,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX]);
/* The same, where the sender has no credit for refused recipients, or is used
 * from too many networks. */
void words_credit(const struct gate_credit *credit,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX]);
void words_networks(const struct gate_networks *networks,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX]);
/* The same of a familiar recipient's, in the source's second limiter. by: why
 * it is familiar, for one that passes. */
void words_familiar(struct gate *g, struct throttle_source *src,
    const struct throttle_reservation *r, const char *by, int64_t now,
    char out[WORDS_MAX]);
/* Why a scope bars a recipient. */
void words_scope(
    const struct scope_info *full, int64_t now, char out[WORDS_MAX]);
/* How full it is: "scope \"all\" (key): 4 of 5 new recipients in 1h used". */
void words_scope_use(const struct scope_info *info, char out[WORDS_MAX]);
/* Why a source is frozen: "100 of 100 recipients waiting". */
void words_freeze(struct gate *g, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now, char out[WORDS_MAX]);
/* A whole reply: who, what, and who can help. */
void words_reply_frozen(struct gate *g, struct throttle_source *src,
    int64_t now, char out[WORDS_REPLY_MAX]);
/* sender_addresses = own, and this is none of the login's. */
void words_not_own(const char *path, const char *login, char out[WORDS_MAX]);
/* key: NULL when why names who it is. */
void words_reply(struct gate *g, const struct policy *policy, const char *key,
    const char *why, char out[WORDS_REPLY_MAX]);

/* ---- news ---- */

struct gate_news {
	enum event_type type;
	const char *sender;
	const char *policy;
	const char *address; /* NULL: not told */
	const char *mta_id;  /* NULL: not told */
	int64_t until;       /* wall; 0: not told, INT64_MAX: by hand */
	uint64_t ticket;     /* 0: of no message */
	const char *why;
	const char *option; /* behind it, static; NULL: none */
	uint32_t queue_length;
};

/* One log line and one event. */
void gate_tell(struct gate *g, int64_t wall, const struct gate_news *news);
/* A write that failed. */
void gate_tell_error(
    struct gate *g, const char *what, const char *sender, int error);
/* Gauges, and the hearer of the schedule when something is due earlier. */
void gate_changed(struct gate *g);
/* The source spent this: for those who share it. NULL: nobody did. */
void spent_tell(struct gate *g, struct throttle_source *src,
    uint32_t recipients, uint32_t messages);

#endif
