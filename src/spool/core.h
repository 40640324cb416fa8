/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the spool's modules share: the spool itself and how work is described.
 *
 *	loop --> filer --> writer --> loop	a message with a large body
 *	loop --> writer --> loop		everything else that writes
 *	loop --> reader --> loop		listing and bodies
 *
 * Fields of struct spool belong to the loop's thread unless they are said to
 * be atomic or fixed after spool_open.
 */
#ifndef SPOOL_CORE_H
#define SPOOL_CORE_H

#include "base/map.h"
#include "spool/accounts.h"
#include "spool/db.h"
#include "spool/queue.h"
#include "spool/schema.h"
#include "spool/turns.h"

#include <stdatomic.h>

#define CORE_DATABASE "spool.db"
#define CORE_LOCK "lock"
#define CORE_BODIES "bodies"
#define CORE_DETAIL_MAX 4096 /* of texts that are only shown */

struct writer;
struct filer;
struct reader;

/* What a transaction changes beside its rows; told when it has committed. */
struct tx_effects {
	uint64_t counted_to; /* see core_is_counted */
	int64_t messages, quarantined;
	int64_t recipients[DB_STATE_MAX + 1];
	struct account_changes accounts;
	uint64_t *files; /* body files of removed messages */
	size_t file_count, file_cap;
};

struct tx {
	struct spool *spool;
	struct db *db;
	struct tx_effects effects; /* of all ops in the transaction so far */
};

struct op_type {
	const char *name;
	/* Filer's thread. op->error after it: goes no further. */
	void (*file)(struct filer *f, struct op *op);
	/* Writer's or reader's thread. An errno value, that must come before
	 * anything was changed, or 0; errors of SQLite show in tx->db. The
	 * writer may run it again after a rollback, so it changes nothing
	 * but rows, effects and its own results. */
	int (*run)(struct tx *tx, struct op *op);
	/* Forgets results; NULL: has none. */
	void (*undo)(struct op *op);
	/* Writer's thread, when it is known that the change failed. unsure: a
	 * crash may yet bring it about. NULL: nothing to do. */
	void (*failed)(struct spool *s, struct op *op, bool unsure);
	/* Loop's thread: hands over the result, unless muted. True: there is
	 * more to do, the op goes to the writer again. */
	bool (*finish)(struct spool *s, struct op *op, bool muted);
	/* What its mem does not hold; NULL: nothing. */
	void (*free)(struct op *op);
	bool internal; /* not counted towards outstanding_max */
};

struct spool {
	struct spool_settings settings; /* fixed; dir is a copy */
	char *bodies;                   /* fixed: directory of body files */
	char *database;                 /* fixed */
	struct log *log;
	uint64_t seed;                     /* fixed */
	uint64_t key[SPOOL_KEY_BYTES / 8]; /* fixed */
	int lock_fd;

	struct writer *writer;
	struct filer *filer;
	struct reader *reader;
	struct done done;

	struct accounts *accounts;
	uint64_t count_end; /* fixed: the last id that was there at the start */
	uint64_t counted_to; /* the writer's: see held.c */
	atomic_bool is_counted;
	uint32_t outstanding, internal;
	uint64_t body_memory; /* bytes of text in memory */
	uint32_t files;       /* of bodies on their way in */
	uint64_t last_id, id_mark, id_salt;
	uint64_t notice_mark, queue_proof;
	struct spool_mark stream_mark;
	bool id_marking;

	/* Behind the lazy lock: snapshots to be written with the next commit,
	 * by the source's key. */
	pthread_mutex_t lazy_lock;
	struct map *lazy;
	atomic_size_t lazy_bytes;

	struct turns turns; /* the writer's */
	/* Behind its lock: the weight of sources by the policy of their mail.
	 */
	pthread_mutex_t weights_lock;
	struct spool_weight *weights;
	size_t weight_count;

	/* Atomic: written by the spool's threads, read by the loop. */
	atomic_int_fast64_t messages, quarantined, stopped, recipients[4];
	atomic_uint_fast64_t free_bytes, commits, operations, errors;
	atomic_bool is_short;
};

/* Gives an op to a thread; too much outstanding or short of space: it goes
 * straight to done with EBUSY or ENOSPC. */
enum core_thread { CORE_WRITER, CORE_FILER, CORE_READER };
void core_submit(struct spool *s, struct op *op, enum core_thread thread);
/* Puts and readers give way first, so that what ends work gets through. */
void core_submit_new(struct spool *s, struct op *op, enum core_thread thread);
/* Completes with an error, from spool_dispatch like all others. */
void core_refuse(struct spool *s, struct op *op, int error);
void core_free(struct op *op);
/* Path of a message's body file, or of the temporary one, for free(). */
char *core_body_path(const struct spool *s, uint64_t id, bool temporary);
void core_effects_add_file(struct tx_effects *e, uint64_t id);

/* Writer's thread. What becomes of the message's rows is for messages, HELD
 * and accounts: they were counted. Else whoever counts finds them as they are
 * by then. */
static inline bool
core_is_counted(const struct tx *tx, uint64_t id)
{
	return id <= tx->effects.counted_to || id > tx->spool->count_end;
}
void core_count_held(struct tx *tx, uint64_t ticket, int64_t n);

/* ---- claim.c ---- */

void claim_free_weights(struct spool *s);

/* ---- source.c ---- */

/* Writer's thread: all snapshots of sources that wait, as one op; NULL: none.
 */
struct op *source_take_lazy(struct spool *s);

/* ---- mta_held.c ---- */

/* The part of a freeze and of a thaw that is about the mail server's own queue,
 * within their commit. */
void mta_held_turn(
    struct tx *tx, const char *source, bool frozen, bool discards);

#endif
