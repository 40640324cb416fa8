/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log files, one after the other, through their heads and readers into the
 * table of messages; counts what became of their lines. No I/O: pieces of files
 * in.
 */
#ifndef REPLAY_FEED_H
#define REPLAY_FEED_H

#include "replay/join.h"
#include "replay/lines.h"

#define FEED_SAMPLES 3
#define FEED_SAMPLE_MAX 200
#define FEED_FORMATS_MAX 16
/* Bytes of an object of a JSON document; longer ones are counted and go. */
#define FEED_OBJECT_MAX (1u << 20)

struct feed_stats {
	uint64_t lines, uses[READER_USES];
	uint64_t too_long, backwards;
	char samples[FEED_SAMPLES][FEED_SAMPLE_MAX]; /* of those not understood;
							escaped */
	size_t sample_count;
	const struct reader *formats[FEED_FORMATS_MAX]; /* that were there */
	size_t format_count;
	int64_t first, last; /* times */
};

struct feed;

/* format NULL: each file's first line that one of them knows tells. */
struct feed *feed_new(const struct reader *format, struct join *join);
void feed_free(struct feed *f);
/* newest, year: see stamp.h. name: for samples, borrowed until the end. */
void feed_begin(struct feed *f, const char *name, uint32_t number,
    int64_t newest, int year);
void feed_push(struct feed *f, struct str piece);
void feed_end(struct feed *f);
const struct feed_stats *feed_stats(const struct feed *f);

/* The time of the first line that has one, in what a file begins with. False:
 * none has. */
bool feed_first_time(struct str start, int64_t newest, int year, int64_t *out);

#endif
