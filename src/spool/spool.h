/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The spool: held mail and durable state in SQLite (WAL, synchronous=FULL),
 * large bodies in files. Nothing that was acknowledged is ever lost.
 *
 * All functions belong to the loop's thread and never wait for the disk (but
 * for spool_open, spool_load and spool_close). Work goes to threads of the
 * spool: a writer with group commit, one for body files, one for reading.
 * Completions run in spool_dispatch, in the order in which the work was given
 * per thread; a write's completion means: committed and synced, or not at all.
 *
 * Errors are errno values: ENOSPC, EIO, EBUSY (too much outstanding), ENOENT
 * (no such message), ...; 0 is success. Strings given in are copied; strings
 * given to callbacks are borrowed for the call.
 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/buf.h"
#include "os/log.h"

struct spool;
struct spool_body; /* the text of a message on its way in */

/*
 * Message ids are 63 bits: milliseconds since 2020, a sequence, and 12 bits of
 * zero where a recipient's ticket has the recipient's index. So a ticket names
 * its message, and ids grow with time.
 */
#define SPOOL_RCPT_MAX 4096
#define SPOOL_MTA_ID_MAX 64 /* bytes, terminated */
#define SPOOL_NAME_MAX 255  /* bytes kept of what a message is called */
#define SPOOL_ID_TEXT 14    /* 13 letters of base 32 (no I L O U), terminated */
#define SPOOL_ID(ticket) ((ticket) & ~(uint64_t)0xfff)
#define SPOOL_TICKET(id, index) ((id) | (uint64_t)(index))

const char *spool_id_format(uint64_t id, char out[SPOOL_ID_TEXT]);
MUST_CHECK bool spool_id_parse(struct str s, uint64_t *id);

struct spool_settings {
	const char *dir;
	uint64_t min_free_bytes;    /* below: spool_is_short, ENOSPC */
	uint64_t large_body_bytes;  /* from here on a file; 256 KiB */
	uint64_t body_memory_bytes; /* all small bodies on their way in */
	/* Operations; past it puts, lists and the like end with EBUSY, and
	 * what ends work (results, settling, release) past four times it. */
	uint32_t outstanding_max;
	uint32_t files_max; /* bodies on their way to files at once: EBUSY past
			       it; 0: any */
	uint32_t held_max;  /* recipients, see spool_room; 0: any */
	uint64_t held_bytes_max; /* of message texts; 0: as the disk has */
	/* The relay's name, borrowed: ids of two relays are then rarely equal.
	 * NULL: there is one. */
	const char *relay;
	/* It ends with the process, as in a simulation: commits are not synced,
	 * and what only the next start would read (the state of sources) is not
	 * written. Never for mail. */
	bool scratch;
	uint32_t load_page; /* messages, see spool_load_held; 0: 1000 */
};

/* NULL on an error: one line for the administrator in err and a sysexits
 * status (78 configuration, 75 in use, 74 input/output) in *status. Recovers:
 * pending messages count as held, SENDING becomes RELEASED, files that no row
 * names are removed. */
struct spool *spool_open(const struct spool_settings *settings, struct log *log,
    char *err, size_t err_cap, int *status);
/* Finishes everything outstanding, without completions. */
void spool_close(struct spool *s);
/* Readable when spool_dispatch has completions to run. */
int spool_fd(const struct spool *s);
void spool_dispatch(struct spool *s);
bool spool_is_idle(const struct spool *s); /* nothing outstanding */
/* States that are saved go nowhere: they need not be made. */
bool spool_is_scratch(const struct spool *s);
bool spool_is_short(const struct spool *s); /* below the free-space floor */
/* Random, made once per spool: hashes in stored state stay valid. */
uint64_t spool_seed(const struct spool *s);
/* The same for what others are not to be able to make: SPOOL_KEY_BYTES. */
#define SPOOL_KEY_BYTES 32
const unsigned char *spool_key(const struct spool *s);

struct spool_stats {
	uint64_t messages;
	uint64_t quarantined;   /* of these, in the mail server's queue */
	uint64_t recipients[4]; /* by enum spool_state (pending: unused) */
	uint64_t stopped;       /* of these, by the freeze of their source */
	uint64_t free_bytes;
	uint64_t commits, operations; /* group commit at work */
	uint64_t database_errors;
};
void spool_stats(const struct spool *s, struct spool_stats *out);

typedef void spool_done_fn(void *arg, int error);

/* ---- room ---- */

/*
 * What waits has a limit, in recipients and in bytes, and each source a share
 * of it (base/share.h). What is held on purpose should be refused when there is
 * no room; what is put all the same is stored.
 */
struct spool_usage {
	const char *limit; /* the option: held_max or held_bytes_max */
	uint64_t used, max, own;
};
/* Has the source room for so much more? False: *out tells the limit. */
MUST_CHECK bool spool_room(struct spool *s, const char *source,
    uint64_t recipients, uint64_t bytes, struct spool_usage *out);

/* What a message on its way in will take, so that many at once do not pass the
 * limits together. Zeroed at first; cleared when the message was put, or was
 * given up. */
struct spool_stake {
	char *source;
	uint64_t recipients, bytes;
};
void spool_stake_recipient(
    struct spool *s, struct spool_stake *k, const char *source);
/* Its text has size bytes so far, or at its end. False: no room for it. */
MUST_CHECK bool spool_stake_bytes(struct spool *s, struct spool_stake *k,
    const char *source, uint64_t size, bool at_end, struct spool_usage *out);
void spool_stake_clear(struct spool *s, struct spool_stake *k);

/* ---- mail ---- */

enum spool_state {
	SPOOL_PENDING,  /* (of a message) cut-through not yet answered */
	SPOOL_HELD,     /* waits in the delay queue */
	SPOOL_RELEASED, /* may go, at next_try */
	SPOOL_SENDING,  /* claimed by delivery */
};
extern const char *const spool_state_name[4]; /* "pending", "held", ... */

struct spool_rcpt {
	uint64_t ticket; /* set by spool_put from id and index */
	const char *address;
	unsigned notify;        /* enum smtp_notify bits, opaque here */
	const char *orcpt;      /* NULL: none */
	uint64_t destination;   /* the gate's hash of it; 0: weir's own mail */
	uint8_t lane;           /* the gate's: in which queue it waits */
	enum spool_state state; /* HELD or RELEASED when put */
	bool stopped;           /* read: RELEASED, or SENDING for the last time,
				   and its source is frozen */
	uint32_t attempts;
	int64_t next_try;       /* wall ms */
	const char *last_error; /* NULL: none */
};

struct spool_message {
	uint64_t id;
	const char *source; /* key of the throttle's source */
	const char *policy;
	const char *from;    /* "" is the null sender */
	const char *envid;   /* NULL: none */
	const char *subject; /* raw, NULL: none */
	const char *client;  /* address text */
	/* What it is called elsewhere, for who searches it; NULL: unknown. */
	const char *message_id; /* of its header, without brackets */
	const char *queue_id;   /* the mail server's, when it came */
	const char *helo;
	unsigned body_type, ret; /* enum smtp_body, smtp_ret; opaque */
	bool utf8;
	bool require_tls; /* it goes over verified TLS alone: RFC 8689 */
	bool rest;        /* the mail server kept the message, without these
			     recipients: see delivery_set_rest */
	bool whole;       /* goes only when no recipient of it is HELD */
	bool pending;
	const char *mta_id; /* NULL, or its queue id: the text is in the mail
			       server's hold queue, whole, and its body here is
			       only to be looked at */
	bool doomed;        /* read: to be deleted there */
	uint64_t size;      /* of the body, set by spool_put */
	int64_t queued_at;  /* wall ms */
	const struct spool_rcpt *rcpts;
	size_t rcpt_count;
};

/* A new id, above all before it, also across restarts. */
uint64_t spool_new_id(struct spool *s, int64_t wall_ms);
/* When it was made, wall ms. */
int64_t spool_id_wall(uint64_t id);

struct spool_body *spool_body_new(struct spool *s, uint64_t id);
/* Takes text. False: hold back until on_drain (the text was taken), or end the
 * body. Errors show up in spool_put. */
bool spool_body_write(struct spool_body *b, const void *p, size_t n);
void spool_body_set_drain(
    struct spool_body *b, void (*on_drain)(void *arg), void *arg);
void spool_body_abort(struct spool_body *b);

/* Stores message and body (taken) in one commit; a large body's file and its
 * directory are synced before. */
void spool_put(struct spool *s, const struct spool_message *m,
    struct spool_body *body, spool_done_fn *fn, void *arg);
/* Ends PENDING: keep, or remove the whole message. */
void spool_settle(
    struct spool *s, uint64_t id, bool keep, spool_done_fn *fn, void *arg);

/* ---- release, discard, listing ---- */

struct spool_select {
	const uint64_t *ids; /* messages; with id_count 0 not used */
	size_t id_count;
	const char *source;          /* NULL: any */
	const char *recipient;       /* pattern with * and ?, NULL: any */
	int64_t queued_before;       /* wall ms, 0: any */
	int64_t queued_after;        /* wall ms, 0: any */
	const char *domain;          /* of the source's address; NULL: any */
	const char *subject;         /* part of it, decoded, in either case */
	uint64_t size_min, size_max; /* bytes; size_max 0: any */
	bool all;                    /* must be set when nothing else selects */
	bool gone;          /* discard: the mail server has them no more */
	const char *reason; /* not looked at: for the audit log; or NULL */
};

struct spool_row { /* a recipient that was changed */
	uint64_t ticket;
	uint64_t destination;
	const char *source;
	const char *address;
	uint8_t lane;
	enum spool_state was;
};

/* Whose mail it was, of the first of them: "0S9N9W1VW0000 of alice to
 * bob@example.net and 2 more". Rows of a message stand together. Returns out.
 */
#define SPOOL_WHOSE_MAX 2048
const char *spool_whose(
    const struct spool_row *rows, size_t n, char out[SPOOL_WHOSE_MAX]);

struct spool_audit {
	int64_t at; /* wall ms */
	const char *who, *action, *target, *detail;
};

/* Called for each batch of changed rows, after their commit; last tells the
 * end (then n may be 0). After an error nothing more comes. */
typedef void spool_rows_fn(
    void *arg, int error, const struct spool_row *rows, size_t n, bool last);

/* HELD -> RELEASED, due at once, and so is what was RELEASED already and waits
 * for its next try or for the end of a freeze; pending messages are left out,
 * and damaged ones whose body file is missing. audit may be NULL; where
 * messages are named by their ids it also tells whose they are. Large
 * selections are done in batches, each a commit; the writer serves others in
 * between. */
void spool_release(struct spool *s, const struct spool_select *select,
    int64_t wall_ms, const struct spool_audit *audit, spool_rows_fn *fn,
    void *arg);
/* What waits for its next try alone. */
void spool_flush(struct spool *s, const struct spool_select *select,
    int64_t wall_ms, const struct spool_audit *audit, spool_rows_fn *fn,
    void *arg);
/* The same for tickets that the schedule let go. */
void spool_release_tickets(struct spool *s, const uint64_t *tickets, size_t n,
    int64_t wall_ms, spool_done_fn *fn, void *arg);
/* What these would do to a recipient. */
enum spool_change { SPOOL_TO_RELEASE, SPOOL_TO_FLUSH, SPOOL_TO_DISCARD };
bool spool_would_change(
    enum spool_change what, const struct spool_rcpt *r, int64_t wall_ms);
/* Removes HELD and RELEASED recipients (never SENDING or pending ones). A
 * message in the mail server's queue is discarded whole or not at all: it is
 * doomed, and due to be claimed (spool_quarantine_claim), unless it is gone. */
void spool_discard(struct spool *s, const struct spool_select *select,
    const struct spool_audit *audit, spool_rows_fn *fn, void *arg);

/* Messages with their recipients (those that the selection's pattern matches),
 * ordered by id, above after_id, at most max; run by the reading thread. An
 * answer is bounded in bytes too, so it may have fewer than max: the end is
 * n == 0. */
typedef void spool_list_fn(
    void *arg, int error, const struct spool_message *messages, size_t n);
void spool_list(struct spool *s, const struct spool_select *select,
    uint64_t after_id, size_t max, spool_list_fn *fn, void *arg);
/*
 * The same for who looks for a message: all that is given must fit, and text
 * stays in the owner's hands. A scan without an index (nothing is written for
 * the search of one in a thousand messages), in steps, so that the reading
 * thread serves others in between: a call looks at some thousand messages, and
 * may well find none. The next one begins above after.
 */
struct spool_find {
	/* One of: queue id (ours or the mail server's), Message-ID, client
	 * address; or part of a sender, a recipient or the subject. */
	const char *term;
	const char *message_id, *mta_id, *client; /* whole */
	const char *subject;                      /* part, decoded */
	const char *source, *recipient;           /* as spool_select has them */
	const char *domain;
};
struct spool_found {
	const struct spool_message *messages;
	size_t n;
	uint64_t after;
	bool end; /* nothing lies above that */
};
typedef void spool_found_fn(
    void *arg, int error, const struct spool_found *found);
void spool_find(struct spool *s, const struct spool_find *what,
    uint64_t after_id, size_t max, spool_found_fn *fn, void *arg);
/* Part of a message's body: up to 64 KiB from offset; chunk empty at the end.
 * ENOENT when there is no such message (any more). */
typedef void spool_chunk_fn(void *arg, int error, struct str chunk);
void spool_read_body(struct spool *s, uint64_t id, uint64_t offset,
    spool_chunk_fn *fn, void *arg);

/* ---- delivery ---- */

struct spool_job { /* a message with the recipients that are due */
	struct spool_message m;
	struct str body; /* whole when it is small and the claim's total is
			    below 2 MiB; p NULL: spool_read_body */
};

/* Claims up to max due messages (RELEASED -> SENDING). Sources take turns
 * (turns.h), each with its oldest due first, so that the many messages of one
 * delay no other's; it costs the same however many are due. The jobs belong to
 * the callback: spool_job_free each. next_due: wall ms of the next one that is
 * not due yet, INT64_MAX: none. */
typedef void spool_claim_fn(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t next_due);
void spool_claim(struct spool *s, size_t max, int64_t wall_ms,
    spool_claim_fn *fn, void *arg);
void spool_job_free(struct spool_job *job);
/* The weight of sources by the policy of their messages, 1 where it is not
 * told; up to 100. Copied; in the place of those before. */
struct spool_weight {
	const char *policy;
	uint32_t weight;
};
void spool_set_weights(
    struct spool *s, const struct spool_weight *weights, size_t n);

/* The wall clock was set back, or may have been: nothing waits for longer than
 * until latest; what does is due at wall_ms. */
void spool_mend_due(struct spool *s, int64_t wall_ms, int64_t latest);

enum spool_outcome {
	SPOOL_DELIVERED, /* accepted by the next hop: removed */
	SPOOL_RETRY,     /* RELEASED again, at next_try */
	SPOOL_BOUNCED,   /* refused for good: removed */
};

struct spool_result {
	uint64_t ticket;
	enum spool_outcome outcome;
	int64_t next_try;  /* wall ms, RETRY */
	const char *error; /* RETRY: shown to the administrator */
	bool untried;      /* RETRY: nothing was tried, attempts stays */
};

/* Records results of claimed recipients and, in the same commit, stores a
 * bounce (may be NULL; its body given as text). After an error nothing of it
 * counts and the recipients are still SENDING: give it again. Results of
 * recipients that are not SENDING are passed over. */
void spool_finish(struct spool *s, const struct spool_result *results, size_t n,
    const struct spool_message *bounce, struct str bounce_text,
    spool_done_fn *fn, void *arg);

/* ---- in the mail server's hold queue ---- */

struct spool_quarantined {
	uint64_t id;
	char mta_id[SPOOL_MTA_ID_MAX];
	bool doomed; /* to be deleted, else to be released */
	uint32_t attempts;
	int64_t queued_at; /* wall ms, only listed */
};

/* Claims up to max messages that may go or are doomed (their recipients become
 * SENDING), the oldest due first, and none that was stored less than settle_ms
 * ago: the mail server may not have it in its queue yet. next_due as with
 * spool_claim. At a restart what was claimed is due again. */
typedef void spool_quarantine_fn(void *arg, int error,
    const struct spool_quarantined *v, size_t n, int64_t next_due);
void spool_quarantine_claim(struct spool *s, size_t max, int64_t wall_ms,
    int64_t settle_ms, spool_quarantine_fn *fn, void *arg);

/* What became of claimed ones: removed, or due again at next_try. After an
 * error nothing of it counts. */
struct spool_quarantine_result {
	uint64_t id;
	bool gone;
	int64_t next_try;  /* wall ms */
	const char *error; /* shown to the administrator; NULL when gone */
};
void spool_quarantine_finish(struct spool *s,
    const struct spool_quarantine_result *results, size_t n, spool_done_fn *fn,
    void *arg);
/* The listing that was last seen to show a message of ours, as a hash that is
 * its own affair; 0: none was. Durable by and by. */
uint64_t spool_queue_proof(const struct spool *s);
void spool_set_queue_proof(struct spool *s, uint64_t proof);
/* All that are not pending, above after_id, ordered by id; next_due unused. */
void spool_quarantine_list(struct spool *s, uint64_t after_id, size_t max,
    spool_quarantine_fn *fn, void *arg);

/* ---- put on hold in the mail server by a freeze ---- */

/*
 * Messages that weir let go and that wait in the mail server's own queue. The
 * commit that ends the freeze of their source says what becomes of them, so a
 * crash does not leave one on hold for good.
 */
#define SPOOL_MTA_HELD_MAX 50000
enum spool_mta_task {      /* which: */
	SPOOL_MTA_HOLD,    /* noted, and not known to be on hold */
	SPOOL_MTA_RELEASE, /* their source was thawed */
	SPOOL_MTA_DISCARD, /* the same, and they are to be deleted */
	SPOOL_MTA_TASKS
};
struct spool_mta_held {
	uint64_t row;
	char mta_id[SPOOL_MTA_ID_MAX];
	const char *source;
};
struct spool_mta_answer {               /* borrowed */
	const struct spool_mta_held *v; /* of a listing */
	size_t n;       /* of a listing, or how many of the first were noted */
	uint64_t total; /* rows, whatever is to become of them */
};
typedef void spool_mta_fn(
    void *arg, int error, const struct spool_mta_answer *answer);
/* Notes them for HOLD, if the source is frozen and up to SPOOL_MTA_HELD_MAX in
 * all; n is 0 where it is not. */
void spool_mta_put(struct spool *s, const char *source, const char *const *ids,
    size_t n, spool_mta_fn *fn, void *arg);
/* Those of a task with a row above after, ordered by row, at most max. */
void spool_mta_list(struct spool *s, enum spool_mta_task task, uint64_t after,
    size_t max, spool_mta_fn *fn, void *arg);
/* What became of them: they are on hold, or nothing is left to do. */
struct spool_mta_result {
	uint64_t row;
	bool is_held;
};
void spool_mta_finish(struct spool *s, const struct spool_mta_result *results,
    size_t n, spool_mta_fn *fn, void *arg);

/* ---- delay notices ---- */

/* Messages are looked at for a delay notice once, in the order of their ids;
 * all up to this one have been. */
uint64_t spool_notice_mark(const struct spool *s);
/* Moves the mark up and, in the same commit, stores the notice (may be NULL;
 * its body given as text). The mark counts from the completion on. */
void spool_set_notice_mark(struct spool *s, uint64_t mark,
    const struct spool_message *notice, struct str text, spool_done_fn *fn,
    void *arg);

/* ---- a stream of another server ---- */

struct spool_mark {
	uint64_t epoch; /* of the server; 0: none was read */
	uint64_t at;    /* all up to this has been taken */
};
/* Committed behind all that was handed to the writer before. */
struct spool_mark spool_stream_mark(const struct spool *s);
void spool_set_stream_mark(struct spool *s, struct spool_mark mark);

/* ---- sources and audit ---- */

struct spool_source {
	const char *key;
	bool frozen;
	unsigned reason;   /* enum throttle_freeze_reason, opaque here */
	int64_t frozen_at; /* wall ms */
	const char *note;  /* why, of a person who froze it; NULL: not told */
	int64_t thaw_at;   /* wall ms, when it ends by itself; 0: never */
	bool discards;     /* written, not frozen: what its freeze put on hold
			      in the mail server is deleted, else released */
	const void *state; /* snapshot, NULL: none */
	size_t state_size;
	int64_t saved_at; /* wall ms */
};

/* All but the state. Durable at once; fn may be NULL. In the same commit what
 * is RELEASED of the source is stopped: it is not claimed, and what delivery is
 * at is stopped when the attempt fails. What is released by hand goes all the
 * same. The end of the freeze makes it due. */
void spool_set_frozen(struct spool *s, const struct spool_source *source,
    const struct spool_audit *audit, spool_done_fn *fn, void *arg);
/* Written behind: joins the next commit, at the latest after some seconds. */
void spool_save_state(struct spool *s, const char *key, const void *state,
    size_t size, int64_t wall_ms);
void spool_forget_source(struct spool *s, const char *key); /* the same */
/* The same state, and fn when it is durable: in the place of one that waits to
 * be written behind. After an error the one before it may be what is stored. */
void spool_secure_state(struct spool *s, const char *key, const void *state,
    size_t size, int64_t wall_ms, spool_done_fn *fn, void *arg);
/* At start, before the loop: every source. 0 or errno. */
MUST_CHECK int spool_load(struct spool *s,
    void (*on_source)(void *arg, const struct spool_source *source), void *arg);

/*
 * What was HELD when the spool was opened, a page at a time, for as long as
 * nobody adds to it: new ids lie above all of these. A page's completion runs
 * before those of all changes that were made to its rows after it was read, and
 * what was changed before is not in it as HELD. The walk of all also counts:
 * until its end spool_stats has what it has passed, and the limits of
 * spool_room go by what was in the spool some seconds before the last end
 * where that is more.
 */
struct spool_held {
	const struct spool_row *rows; /* in order of arrival; address is "" */
	size_t n;                     /* may be 0 ahead of the end */
	uint64_t after;               /* of one source: the next begin there */
	bool end;                     /* these are the last */
};
typedef void spool_held_fn(void *arg, int error, const struct spool_held *page);
/* The next page; after an error the same again. */
void spool_load_held(struct spool *s, spool_held_fn *fn, void *arg);
/* Those of one source that the walk has not passed when the first page (after
 * 0) is read; the next begins at the page's after. */
void spool_load_held_of(struct spool *s, const char *source, uint64_t after,
    spool_held_fn *fn, void *arg);
/* The walk has come to its end. */
bool spool_is_counted(const struct spool *s);

/* Whom a source knows, packed: a row for each source that knows somebody, read
 * when it is asked about. */
#define SPOOL_ACQUAINTANCES_MAX 65536 /* bytes */
struct spool_acquaintances {
	const char *key;
	const void *state;
	size_t size; /* 0: the row is removed */
};
/* All or none of them; durable when fn is called. */
void spool_save_acquaintances(struct spool *s,
    const struct spool_acquaintances *rows, size_t n, int64_t wall_ms,
    spool_done_fn *fn, void *arg);
/* state: empty when there is no row; what is too long, or no bytes, comes as
 * one byte 0. */
/* Removes rows last saved before that time, among some hundred from *pos on (0
 * at first, kept by the caller until fn); then *pos is where the next begin, 0
 * after the last, and *removed how many went. */
void spool_sweep_acquaintances(struct spool *s, int64_t *pos, uint64_t *removed,
    int64_t before_wall_ms, spool_done_fn *fn, void *arg);
/* At start, before the loop: how many rows there are. 0 or errno. */
MUST_CHECK int spool_count_acquaintances(struct spool *s, uint64_t *out);
/* At start, before the loop: what weir kept of incoming mail up to version 10
 * of the schema, a row for each source, becomes acquaintances. row has key,
 * state and saved_at; known is what the source has there already, or empty. fn
 * writes up to SPOOL_ACQUAINTANCES_MAX bytes to out and returns how many; 0: no
 * row. The one row goes with the other's commit, some hundred at a time: after
 * a crash the next start takes over the rest. 0 or errno. */
typedef size_t spool_take_over_fn(
    void *arg, const struct spool_source *row, struct str known, void *out);
MUST_CHECK int spool_take_over_inbound(
    struct spool *s, int64_t wall_ms, spool_take_over_fn *fn, void *arg);
typedef void spool_acquaintances_fn(void *arg, int error, struct str state);
void spool_read_acquaintances(
    struct spool *s, const char *key, spool_acquaintances_fn *fn, void *arg);

/* Alerts (src/alert), a row each; the state is their own affair. */
#define SPOOL_ALERT_MAX (1u << 20) /* bytes of a state */
struct spool_alert {
	uint64_t id; /* of spool_new_id, or below 4096 */
	const char *channel;
	const char *state; /* NULL: the row is removed */
};
/* All rows and, in the same commit, a message (NULL: none; its body given as
 * text), or nothing of it. Durable when fn is called. Not refused below the
 * free-space floor: it is small, and may be about that. */
void spool_save_alerts(struct spool *s, const struct spool_alert *rows,
    size_t n, const struct spool_message *mail, struct str text,
    spool_done_fn *fn, void *arg);
/* At start, before the loop: every row, in the order of ids. 0 or errno. */
MUST_CHECK int spool_load_alerts(struct spool *s,
    void (*on_alert)(void *arg, const struct spool_alert *row), void *arg);

/* How many recipients of a source its freeze has stopped, and how many messages
 * it put on hold in the mail server. */
typedef void spool_count_fn(
    void *arg, int error, uint64_t n, uint64_t mta_held);
void spool_count_stopped(
    struct spool *s, const char *source, spool_count_fn *fn, void *arg);

/* What was released, tried, and waits for its next try, by the error of the
 * last try: the most frequent ones, looked for among the first 100 000. */
#define SPOOL_DEFERRED_MAX 20
struct spool_deferred {
	const char *error; /* NULL: no text */
	uint64_t recipients;
	int64_t oldest; /* wall ms, when its message came */
};
typedef void spool_deferred_fn(
    void *arg, int error, const struct spool_deferred *rows, size_t n);
void spool_deferred(struct spool *s, spool_deferred_fn *fn, void *arg);

/* When the oldest message came of which a recipient is held, wall ms; 0: none
 * is, among the first 100 000 recipients. */
typedef void spool_oldest_fn(void *arg, int error, int64_t wall_ms);
void spool_oldest_held(struct spool *s, spool_oldest_fn *fn, void *arg);

void spool_audit_add(struct spool *s, const struct spool_audit *audit,
    spool_done_fn *fn, void *arg);
/* The newest first, at most max. */
typedef void spool_audit_fn(
    void *arg, int error, const struct spool_audit *rows, size_t n);
void spool_audit_list(
    struct spool *s, size_t max, spool_audit_fn *fn, void *arg);

#endif
