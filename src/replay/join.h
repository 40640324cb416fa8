/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Puts the records of a message together: who sent it stands in one line, to
 * whom in others, hours later where a recipient had to be tried again. The
 * table is bounded; what has waited longest is handed on as it is when it is
 * full. A recipient counts once, a message that a content filter hands back is
 * part of the first, and an id that comes again is a new message. Pure.
 */
#ifndef REPLAY_JOIN_H
#define REPLAY_JOIN_H

#include "replay/names.h"
#include "replay/reader.h"

#define JOIN_RECIPIENTS_MAX 10000 /* of one message; more are counted */

struct join_place {
	uint32_t file, line;
};

/* One that is whole, or will not become it. Ids are of the names. */
struct join_message {
	int64_t at;
	uint64_t key;    /* the same for the same message of two files */
	uint32_t user;   /* 0: no login */
	uint32_t sender; /* 0: null */
	bool has_sender; /* else it is not known */
	bool is_local, has_client;
	struct ip client;
	const uint32_t *recipients; /* one at least */
	uint32_t count;
	struct join_place place;
};

struct join_stats {
	uint64_t messages;
	uint64_t orphans;  /* lines of messages whose begin is not there */
	uint64_t nameless; /* messages of which no recipient is named */
	uint64_t partial;  /* messages of which some are not */
	uint64_t hops;     /* messages handed back by a content filter */
	uint64_t evicted;  /* handed on early: the table was full */
	uint64_t dropped;  /* recipients past the bounds */
};

struct join_settings {
	size_t messages_max, recipients_max; /* in the table; 0: the default */
	struct names *names;
	void (*on_message)(void *arg, const struct join_message *m);
	void *arg;
};

struct join;

struct join *join_new(const struct join_settings *settings);
void join_free(struct join *j); /* what is in the table is lost */
/* reader_emit_fn but for the place. */
void join_take(
    struct join *j, const struct reader_record *r, struct join_place place);
/* The end of all files: hands everything on. */
void join_end(struct join *j);
const struct join_stats *join_stats(const struct join *j);

#endif
