/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of acquaintances from inside: acquaintances.c keeps the sources
 * and answers, acquaintance_store.c reads and writes their rows, and
 * acquaintance_learn.c takes observations.
 */
#ifndef GATE_ACQUAINTANCES_INTERNAL_H
#define GATE_ACQUAINTANCES_INTERNAL_H

#include "base/map.h"
#include "gate/acquaintances.h"

/* Of a new one from incoming mail. Not stored: after the row was away from
 * memory the shares are whole. The rate is stored. */
struct acquaintance_recent {
	int32_t learnt_s; /* seconds, monotonic */
	struct acquaintance_origin origin;
};

/* What is to be learnt when the row has been read. */
struct acquaintance_pending {
	struct acquaintance_observation observation;
	uint32_t day;
	bool is_observation; /* else an acquaintances_add */
	uint64_t site;       /* name at all relays; 0: nobody is told */
};

enum acquaintance_state {
	ACQUAINTANCE_UNREAD, /* the disk failed; tried again at retry_at */
	ACQUAINTANCE_READING,
	ACQUAINTANCE_READY,
};

struct acquaintance_source {
	struct list order; /* of a->order, the one in use last at the end */
	struct list dirty; /* of a->dirty; in no list: saved, or on its way */
	struct list questions;
	struct acquaintances *a;
	enum acquaintance_state state;
	uint32_t writes; /* on their way */
	uint32_t pins;   /* its answers are being given */
	bool is_reading;
	bool is_void;   /* forgotten: what is being read does not count */
	bool is_stored; /* as far as is known there is a row */
	int64_t retry_at, delay;
	struct acquaintance_set set;
	struct acquaintance_recent *recents;
	uint32_t recent_n, recent_cap;
	struct acquaintance_pending *pending;
	uint32_t pending_n, pending_cap;
	int64_t rate_at; /* the allowance for new ones is whole then */
	size_t bytes;    /* as counted in a->bytes */
	size_t key_n;
	char key[]; /* terminated */
};

struct acquaintances {
	struct acquaintances_settings settings;
	struct spool *spool;
	struct counters *counters;
	struct log *log;
	struct map *sources;
	struct list order, dirty, batches;
	size_t bytes, dirty_n;
	size_t waiting;    /* added, and their rows are not read: see pending */
	uint64_t rows;     /* on disk, as far as is known */
	int64_t now;       /* the latest given, monotonic */
	int64_t wall;      /* the latest given */
	int64_t write_due; /* INT64_MAX: nothing is to be written */
	int64_t write_delay;
	int64_t retry_due; /* of a read */
	int64_t told_at;   /* that memory is full */
	int64_t sweep_pos, sweep_due;
	uint64_t swept; /* by the sweep on its way */
	bool is_sweeping;
	struct acquaintances_stats stats;
};

void acquaintance_note_time(struct acquaintances *a, int64_t now, int64_t wall);
struct str acquaintance_key(const struct acquaintance_source *s);
/* Its size may have changed. */
void acquaintance_measure(struct acquaintance_source *s);
/* It is to be written. */
void acquaintance_touch(struct acquaintance_source *s);
/* Room for something new. False: what waits to be written fills the memory;
 * that is counted and told. */
MUST_CHECK bool acquaintance_has_room(struct acquaintances *a);
/* It has a row, or may get one from incoming mail. False: that is told. */
MUST_CHECK bool acquaintance_may_begin(struct acquaintance_source *s);
/* Drops what is not in use until the rest keeps to bytes_max. */
void acquaintance_evict(struct acquaintances *a);
/* What waits for it is noted and answered; it has been read, or cannot be. May
 * free it. */
void acquaintance_settle(struct acquaintance_source *s);
/* Notes it in a set that is READY. */
void acquaintance_note(
    struct acquaintance_source *s, const struct acquaintance_pending *p);

/* ---- learn ---- */

void acquaintance_take_observation(struct acquaintance_source *s,
    const struct acquaintance_observation *observation, uint32_t day);

/* ---- store ---- */

void acquaintance_read(struct acquaintance_source *s);
/* Those whose read failed and whose time has come. */
void acquaintance_read_again(struct acquaintances *a);
/* Up to max of those that changed. */
void acquaintance_write_some(struct acquaintances *a, size_t max);
/* At the end: no completion comes any more. */
void acquaintance_clear_writes(struct acquaintances *a);

#endif
