/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate's modules share; nothing outside src/gate includes this.
 *
 *	gate.c		settings, reload, the run
 *	gate_source.c	the table of sources and what the gate keeps for each
 *	gate_txn.c	transactions: begin, commit, cancel
 *	gate_recipient.c	their questions and answers
 *	gate_secure.c	what a message spends, durable before it goes
 *	gate_freeze.c	freezing, made durable
 *	gate_release.c	releases by the schedule, made durable
 *	gate_admin.c	release, discard, thaw by hand
 *	gate_lesson.c	incoming messages, and who learns from them
 *	gate_inbound.c	what was learnt: asked, saved, read back
 *	gate_load.c	what the spool knows at start
 *	gate_path.c	the reverse path, which is a destination too
 *	gate_words.c	limits and freezes in words
 *	gate_news.c	log lines and events
 *	gate_info.c	sources as the administrator sees them
 */
#ifndef GATE_INTERNAL_H
#define GATE_INTERNAL_H

#include "base/list.h"
#include "gate/gate.h"

#include <stdatomic.h>

#define GATE_KEY_MAX (THROTTLE_KEY_MAX + 1)
#define GATE_RETRY_FIRST_MS 1000
#define GATE_SAVE_EVERY_MS 3000

struct gate {
	struct throttle *throttle;
	struct spool *spool;
	struct events *events;
	struct counters *counters;
	struct log *log;
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
	struct inbound *inbound;
	struct inbound_stats inbound_counted; /* what counters had then */

	struct list dirty;    /* struct gate_source, the longest first */
	struct list secures;  /* struct gate_secure_op */
	struct list freezes;  /* struct gate_freeze_op */
	struct list releases; /* struct gate_release_op */
	struct list admin;    /* struct gate_admin_op */
	struct gate_release_op *collecting; /* during throttle_run */
	/* A freeze that the throttle reported within the call in hand. */
	struct throttle_source *froze;
	enum throttle_freeze_reason froze_reason;
	atomic_uint freeze_count; /* gate_freezes */
	bool is_quiet; /* load and free: the throttle's callbacks rest */

	int64_t now; /* the last that was given */
	int64_t save_due, expire_due, full_told_at;
	int64_t inbound_due, inbound_told_at;
	int64_t retry_due; /* the earliest op that waits for another try */
	int64_t told_due;  /* what on_schedule's hearer knows */
	char shown_name[GATE_KEY_MAX]; /* of the last gate_sender_info */
};

/* ---- sources ---- */

struct gate_source {       /* the throttle's user pointer */
	struct list dirty; /* in no list: saved */
	struct throttle_source *src;
	int64_t frozen_at; /* wall; 0: not frozen; freeze_set_at writes it */
	bool is_stored;    /* the spool has a row */
	bool has_state;    /* what the spool has was read back */
	/* Its first reverse path, as a destination; 0: none yet. */
	uint64_t home;
	uint32_t new_paths, held_paths; /* since the start */
	char *last_path;                /* the last that was held, or NULL */
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
/* Out of the table, when it is as one never seen. */
void source_drop_blank(struct gate *g, struct str key, int64_t now);
struct gate_source *source_data(const struct throttle_source *src);
const struct policy *source_policy(const struct throttle_source *src);
/* The key, terminated. Returns out. */
const char *source_name(
    const struct throttle_source *src, char out[GATE_KEY_MAX]);
uint32_t source_queue(struct gate *g, struct throttle_source *src);
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
/* Splits a stored state into the policy's name and the throttle's part. */
MUST_CHECK bool source_split_state(
    struct str state, struct str *policy, uint64_t *home, struct str *rest);

/* Something is to be tried again at that time. */
void gate_retry_at(struct gate *g, int64_t at);
/* The same for what just failed: sets *retry_at, doubles *delay. */
void gate_retry_later(struct gate *g, int64_t *retry_at, int64_t *delay);

/* At gate_free: no completion comes any more. */
void secure_clear(struct gate *g);

/* ---- freezes ---- */

void freeze_on_throttle(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason);
/* NULL: a source that is not there is not frozen. */
bool freeze_is_on(const struct throttle_source *src);
/* 0: it is not frozen. */
void freeze_set_at(struct gate *g, struct throttle_source *src, int64_t at);
/* To be called after every throttle_commit and throttle_append: deals with
 * g->froze. */
void freeze_settle(struct gate *g, int64_t now, int64_t wall);
/* Takes what waits in observe mode alone out of the queue. */
void freeze_drop_observed(struct gate *g, struct throttle_source *src);
void freeze_retry(struct gate *g, int64_t now);
void freeze_clear(struct gate *g);

/* ---- releases ---- */

void release_on_throttle(void *arg, struct throttle_source *src,
    uint64_t destination, uint64_t ticket);
void release_retry(struct gate *g, int64_t now, int64_t wall);
void release_run(struct gate *g, int64_t now, int64_t wall);
void release_clear(struct gate *g);

/* A thaw of this source is under way. */
bool admin_is_thawing(const struct gate *g, const char *sender);
void admin_clear(struct gate *g);

/* ---- incoming mail ---- */

/* Takes out recipients from this one on. */
void lesson_cut(struct gate_lesson *l, uint32_t recipient);
/* The users that this recipient stands for; later ones are taken out. */
void lesson_add(struct gate_lesson *l, uint32_t recipient, struct str address);
bool lesson_is_empty(const struct gate_lesson *l); /* takes NULL */
/* may: whether the message reached this recipient; NULL: all. */
void lesson_learn(struct gate_lesson *l,
    bool (*may)(const void *arg, uint32_t recipient), const void *arg);

/* The source's mail to this destination is an answer. */
bool learnt_is_answer(
    struct gate *g, const struct policy *policy, struct str key, uint64_t to);
/* Some may have changed. */
void learnt_touch(struct gate *g);
void learnt_save_some(struct gate *g, size_t max, int64_t wall);
void learnt_sweep(struct gate *g, size_t steps);
/* At start, after the sources. 0 or errno. */
MUST_CHECK int learnt_load(struct gate *g, int64_t wall);
/* By what people type, the key of one that has learnt something. */
bool learnt_guess(struct gate *g, struct str name, char out[GATE_KEY_MAX]);
/* Brings the counters up to date. */
void learnt_count(struct gate *g);

/* ---- words ---- */

#define WORDS_MAX 200
#define WORDS_REPLY_MAX 400

/* Why a reservation fell as it did. */
void words_why(struct gate *g, struct throttle_source *src,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX]);
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
	uint64_t ticket;     /* 0: of no message */
	const char *why;
	uint32_t queue_length;
};

/* One log line and one event. */
void gate_tell(struct gate *g, int64_t wall, const struct gate_news *news);
/* A write that failed. */
void gate_tell_error(
    struct gate *g, const char *what, const char *sender, int error);
/* Gauges, and the hearer of the schedule when something is due earlier. */
void gate_changed(struct gate *g);

#endif
