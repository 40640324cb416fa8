/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The throttle of the HP Labs papers: per source a working set, a delay queue,
 * a limiter with an allowance, and a detector on the queue. Pure: no clock, no
 * I/O. `now` is milliseconds on a clock that does not jump; one that went
 * backwards is clamped to the last seen. One thread per struct throttle.
 *
 * Twycross & Williamson, USENIX Security 2003, section 3.1 (tcp, udp);
 * Williamson, ACSAC 2003 (mail: slack, growth). See shared vocabulary in
 * doc/architecture.md.
 */
#ifndef WEIR_THROTTLE_H
#define WEIR_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define THROTTLE_LIMITS_MAX 4
#define THROTTLE_WORKING_SET_MAX 4096
#define THROTTLE_COUNT_MAX 65535 /* largest count of a limit window */
#define THROTTLE_KEY_MAX 512     /* bytes of a source's key */

enum throttle_verdict { THROTTLE_PASS, THROTTLE_HOLD, THROTTLE_REFUSE };

/* Why a verdict fell as it did. */
enum throttle_reason {
	THROTTLE_KNOWN,   /* pass: in the working set */
	THROTTLE_NEW,     /* pass: new, within the allowance */
	THROTTLE_QUEUED,  /* hold: no allowance, or others wait before it */
	THROTTLE_LIMITED, /* hold: a limit window is full */
	THROTTLE_BARRED,  /* hold: the caller says so (throttle_bar) */
	THROTTLE_FROZEN,  /* refuse (or hold): the source is frozen */
	THROTTLE_FULL     /* refuse: freeze_at wait already (thawed), or the
			     queue, with what is reserved, is at queue_max */
};

enum throttle_freeze_reason {
	THROTTLE_FREEZE_NONE,
	THROTTLE_FREEZE_LENGTH, /* freeze_at reached */
	THROTTLE_FREEZE_GROWTH, /* freeze_growth reached */
	THROTTLE_FREEZE_HAND,   /* throttle_freeze */
	THROTTLE_FREEZE_DECOY,  /* throttle_freeze, of one that touched what
				   nobody uses */
	THROTTLE_FREEZE_CREDIT, /* throttle_freeze, of one that reached for too
				   many who are not there */
	THROTTLE_FREEZE_NETWORKS,  /* throttle_freeze, of one that was used from
				      too many places */
	THROTTLE_FREEZE_FAMILIAR,  /* throttle_freeze, of one for which too much
				      waits in a throttle beside this one */
	THROTTLE_FREEZE_STRANGERS, /* throttle_freeze, of one that wrote to too
				      many strangers in too many messages */
	THROTTLE_FREEZE_RELAY,     /* throttle_freeze, of one that another of
				      several throttles froze */
	THROTTLE_FREEZE_LAST = THROTTLE_FREEZE_RELAY
};

struct throttle_limit {
	uint32_t count; /* 0: off */
	int64_t window_ms;
};

struct throttle_policy {
	uint32_t working_set; /* n */
	int64_t interval_ms;
	uint32_t burst;   /* largest allowance */
	uint32_t initial; /* allowance of a source never seen */
	/* The paper's rules to the letter: the allowance is the free room in
	 * the working set, an idle tick discards the oldest member when the
	 * set is full, and the clock ticks on whatever happens. burst and
	 * initial are then taken as working_set. */
	bool paper;
	uint32_t freeze_at; /* queue length that freezes, the largest blast
			       not counted (throttle_blast_begin); 0: never */
	struct throttle_limit freeze_growth; /* entries appended in a window */
	struct throttle_limit limits[THROTTLE_LIMITS_MAX]; /* new destinations
							      let go */
	uint32_t limit_count;
	uint32_t queue_max;     /* hard cap on a source's queue */
	int64_t idle_expiry_ms; /* forget a source that was silent so long;
				   never one with a queue, frozen, or pinned */
	bool hold_when_frozen;  /* frozen: hold instead of refuse */
};

/* The shipped profiles. */
extern const struct throttle_policy throttle_profile_tcp;
extern const struct throttle_policy throttle_profile_udp;
extern const struct throttle_policy throttle_profile_mail;

/* NULL when the policy can be used, else a constant text that says what is
 * wrong with it. A policy given to throttle_get must have passed: one that
 * fails there aborts, as a reservation ended twice does. */
const char *throttle_policy_error(const struct throttle_policy *policy);

struct throttle;        /* all sources of one daemon */
struct throttle_source; /* one source; valid while it is in the table */

struct throttle_callbacks {
	/* A waiting request may go. The destination was put in the working
	 * set at the tick that let it go. Called from throttle_run alone, in
	 * the order of those ticks over all sources. */
	void (*on_release)(void *arg, struct throttle_source *src,
	    uint64_t destination, uint64_t ticket);
	/* Once per freeze, after the source's state has changed. */
	void (*on_freeze)(void *arg, struct throttle_source *src,
	    enum throttle_freeze_reason reason);
	/* The source is about to be forgotten (idle expiry, throttle_forget,
	 * throttle_free). */
	void (*on_expire)(void *arg, struct throttle_source *src);
	/* A waiting request is about to go: now lets it, a later moment is when
	 * to ask again; NULL lets all. May be called from within any function
	 * that takes `now`, and calls none of the throttle's. */
	int64_t (*may_release)(void *arg, struct throttle_source *src,
	    uint64_t destination, int64_t now);
	/* A source that throttle_spare named would have been frozen now, and
	 * goes on. Whenever the detector fires: it may be often. */
	void (*on_spare)(void *arg, struct throttle_source *src,
	    enum throttle_freeze_reason reason);
	/* The source was silent for idle_expiry: false, when the caller counts
	 * something of it that would be lost. NULL: true. */
	bool (*may_expire)(void *arg, struct throttle_source *src, int64_t now);
};

/* callbacks is borrowed and may hold NULLs. seed: for the source table. */
struct throttle *throttle_new(uint64_t seed, size_t max_sources,
    const struct throttle_callbacks *callbacks, void *arg);
void throttle_free(struct throttle *t);

/*
 * Sources. The policy is borrowed and must outlive the source or be replaced;
 * throttle_get gives an existing source the policy passed in (its queue and
 * freeze stay; sizes are adapted). NULL: the table is full, key too long.
 */
struct throttle_source *throttle_find(
    const struct throttle *t, const void *key, size_t key_len);
struct throttle_source *throttle_get(struct throttle *t, const void *key,
    size_t key_len, const struct throttle_policy *policy, int64_t now);
const void *throttle_source_key(
    const struct throttle_source *src, size_t *key_len);
const struct throttle_policy *throttle_source_policy(
    const struct throttle_source *src);
/* Not while it is pinned, as by a reservation that is open (aborts). */
void throttle_forget(struct throttle *t, struct throttle_source *src);
/* A pin of the caller's, who has state of its own for this source: it is not
 * forgotten until the pin is taken away. Pins are counted. */
void throttle_pin(struct throttle_source *src);
void throttle_unpin(struct throttle_source *src);

struct throttle_reservation {
	uint64_t destination;
	enum throttle_verdict verdict;
	enum throttle_reason reason;
	uint8_t limit_index;   /* THROTTLE_LIMITED: which window */
	uint32_t queue_length; /* entries before this one */
	int64_t due_ms;        /* hold: earliest release, if nothing else
				  moves; INT64_MAX while frozen */
};

/*
 * Asks for one destination. PASS of a new destination takes one from the
 * allowance, HOLD takes a place in the queue; both must be ended by
 * throttle_commit or throttle_cancel, and pin the source until then. REFUSE
 * and PASS of a known one take nothing, but are committed or cancelled all the
 * same (commit of a known one makes it the most recently used).
 *
 * Reservations of several transactions count together: never do more than
 * queue_max requests wait, and never more than the allowance passes. A
 * reservation never freezes; the commit that brings the queue to freeze_at
 * does, and what was reserved before may still be committed.
 */
void throttle_reserve(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out);
/* The same for a request that its sender cannot be told to make later: a frozen
 * source holds it whatever its policy says, up to queue_max. */
void throttle_reserve_held(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out);
/* ticket: the caller's name for a held request. May freeze the source. */
void throttle_commit(struct throttle *t, struct throttle_source *src,
    const struct throttle_reservation *r, uint64_t ticket, int64_t now);
void throttle_cancel(struct throttle *t, struct throttle_source *src,
    const struct throttle_reservation *r, int64_t now);
/* Makes a PASS of a new destination that was just reserved a HOLD (or a REFUSE,
 * where the queue has no room): the caller has a limit of its own, which opens
 * at open_at. freeze_at counts no more of what waits for it than goes beyond
 * the source's own allowance. */
void throttle_bar(struct throttle *t, struct throttle_source *src,
    struct throttle_reservation *r, int64_t open_at, int64_t now);
/* reserve and commit at once. */
void throttle_request(struct throttle *t, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now,
    struct throttle_reservation *out);

/* Until throttle_blast_end, what is appended to the queue of src is of one
 * message, which names more strangers than its caller finds usual. freeze_at
 * and freeze_growth do not count those requests of the largest such message
 * that waits. No effect under the paper's rules. src stays where it is
 * meanwhile. */
void throttle_blast_begin(struct throttle *t, struct throttle_source *src);
void throttle_blast_end(struct throttle *t);
/* Puts a request back at the end of the queue after a restart: no detector
 * fires and nothing is counted as new, no cap is applied. Load the snapshot
 * first. */
void throttle_requeue(struct throttle *t, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now);
/* One more request for a destination that waits already. No cap is applied and
 * freeze_growth does not count it, but the queue is longer by it: it may freeze
 * the source. */
void throttle_append(struct throttle *t, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now);
/* The destination becomes known without a request (released by hand, learnt
 * from elsewhere). */
void throttle_learn(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now);
/* Takes matching entries out of the queue without releasing them, in order, at
 * most max of them (0: all); returns how many. One pass over the queue, which
 * ends with the max-th: taking what is in front costs no more for a longer
 * queue. Those whose tick has come but whose on_release has not are among them,
 * here and in throttle_queue_each; verdicts and queue_length count them no
 * more. */
size_t throttle_remove(struct throttle *t, struct throttle_source *src,
    bool (*match)(void *arg, uint64_t destination, uint64_t ticket), void *arg,
    size_t max);
/* Calls fn for each entry of the queue, oldest first. */
void throttle_queue_each(const struct throttle_source *src,
    void (*fn)(void *arg, uint64_t destination, uint64_t ticket), void *arg);

void throttle_freeze(struct throttle *t, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now);
/* The detector does not freeze it, whatever its queue: it grows up to
 * queue_max. throttle_freeze still does. Not part of a snapshot. */
void throttle_spare(struct throttle_source *src, bool is_spared);
bool throttle_is_spared(const struct throttle_source *src);
/* Its queue is read back by and by (throttle_requeue): as long as it is
 * loading, no tick of its clock counts, and nothing is released. At the end
 * those of the meantime are worked off, as if the queue had been there all the
 * time. Nothing may be reserved meanwhile. Not part of a snapshot. */
void throttle_set_loading(struct throttle *t, struct throttle_source *src,
    bool is_loading, int64_t now);
/* The queue stays and moves again, one per interval; the source freezes again
 * only when the queue grows to freeze_at anew from below it, or on growth. */
void throttle_thaw(
    struct throttle *t, struct throttle_source *src, int64_t now);

/* Runs every tick due up to now for sources with a queue; returns how many
 * requests were released. Callbacks may call back into the throttle for other
 * purposes than throttle_run and throttle_forget. At most max_releases in one
 * call (0: no bound); the rest stays due. */
size_t throttle_run(struct throttle *t, int64_t now, size_t max_releases);
/* When throttle_run has work next; INT64_MAX: nothing waits. */
int64_t throttle_next_due(const struct throttle *t);
/* Looks at up to `steps` table slots for idle sources and forgets them; only
 * those that a new start would give nothing: the allowance is back at `initial`
 * and the limit windows are empty. */
size_t throttle_expire(struct throttle *t, int64_t now, size_t steps);

/* What would be lost with a source that is forgotten now. */
enum throttle_stake {
	THROTTLE_STAKE_NONE,  /* nothing: it is as one never seen */
	THROTTLE_STAKE_KNOWN, /* only who is known to it */
	THROTTLE_STAKE_SPENT, /* what it has spent, which would come back */
	THROTTLE_STAKE_BUSY   /* it is frozen, has a queue or is pinned: not
				 to be forgotten */
};

enum throttle_stake throttle_stake(
    struct throttle *t, struct throttle_source *src, int64_t now);

struct throttle_source_info {
	bool frozen;
	enum throttle_freeze_reason freeze_reason;
	uint32_t queue_length;
	uint32_t own_waiting; /* of these, what freeze_at counts */
	uint32_t blast;       /* of these, of the largest blast */
	uint32_t allowance;
	uint32_t working_set;
	int64_t last_seen;
	int64_t next_release; /* INT64_MAX: none; past: throttle_run is late */
	uint32_t limit_used[THROTTLE_LIMITS_MAX]; /* of each window, now */
};

void throttle_source_info(struct throttle *t, struct throttle_source *src,
    int64_t now, struct throttle_source_info *out);
/* How many destinations go before this one, which waits, and when it goes if
 * nothing else moves; INT64_MAX while the source is frozen. False: no request
 * for it waits. */
bool throttle_expected(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, uint32_t *ahead, int64_t *due_ms);
size_t throttle_source_count(const struct throttle *t);
size_t throttle_frozen_count(const struct throttle *t);
/* Sources with a queue that are not frozen. */
size_t throttle_waiting_count(const struct throttle *t);
size_t throttle_memory(const struct throttle *t); /* bytes, all told */
/* Walks all sources: start with *pos = 0, ends with NULL. */
struct throttle_source *throttle_each(const struct throttle *t, size_t *pos);
/* The same in parts, whatever is made or forgotten in between: all that are
 * there the whole time come, and none comes twice. Up to max sources behind a
 * mark, 0 at the start; 0 of them: the end. A mark is at most 2^62. */
struct throttle_page_row {
	struct throttle_source *source;
	uint64_t mark; /* the next part begins behind it */
};
size_t throttle_page(const struct throttle *t, uint64_t after,
    struct throttle_page_row *rows, size_t max);
/* A pointer of the caller's per source, NULL at first. */
void *throttle_source_user(const struct throttle_source *src);
void throttle_source_set_user(struct throttle_source *src, void *user);

/* Nothing is left of the allowance: for a source that is known to have sent,
 * and of which nothing else is known. */
void throttle_exhaust(
    struct throttle *t, struct throttle_source *src, int64_t now);
/* Its new destinations that passed somewhere else: taken off the allowance, as
 * far as there is one, and counted in the limit windows. What waits is not
 * touched. Under the paper's rules they take free places of the working set. */
void throttle_take(
    struct throttle *t, struct throttle_source *src, uint32_t n, int64_t now);

/*
 * Several throttles share a source, and one of them decides (src/share): the
 * others follow it. rule makes what was just reserved what that one says.
 * follow sets the allowance and the time to the next tick (-1: the clock
 * stands), and lets nothing go. let_go lets all requests for a destination go,
 * wherever they stand; false: none waits. Who follows answers may_release with
 * a later moment meanwhile.
 */
void throttle_rule(struct throttle *t, struct throttle_source *src,
    struct throttle_reservation *r, const struct throttle_reservation *ruling);
void throttle_follow(struct throttle *t, struct throttle_source *src,
    uint32_t allowance, int64_t tick_in_ms, int64_t now);
bool throttle_let_go(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now);
/* What is left, for one that knows nothing of the source. */
#define THROTTLE_LEVEL_AGES 2048
struct throttle_level {
	uint32_t allowance; /* paper: free places of the working set */
	uint32_t ages;
	int64_t tick_in_ms;                   /* -1: the clock stands */
	int64_t ages_ms[THROTTLE_LEVEL_AGES]; /* of passes, the oldest first */
};
void throttle_level(struct throttle *t, struct throttle_source *src,
    int64_t now, struct throttle_level *out);

/*
 * Snapshot of one source: working set, allowance, freeze, limit windows; not
 * the queue (the spool owns that). What is reserved to pass counts as spent, at
 * the moment of the snapshot. Times are stored as ages. save returns the
 * bytes needed, and writes only when cap is enough. load gives a source that
 * was just made its old state, `age_ms` after the snapshot was taken; false:
 * the bytes are not a snapshot, and the source is as it was. Read-back state is
 * hostile: bounded and validated.
 */
size_t throttle_save(
    const struct throttle_source *src, int64_t now, void *out, size_t cap);
bool throttle_load(struct throttle *t, struct throttle_source *src,
    const void *in, size_t n, int64_t age_ms, int64_t now);

#ifdef __cplusplus
}
#endif
#endif
