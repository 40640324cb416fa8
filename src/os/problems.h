/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who was refused within the last hour, how often and why, and which commands
 * failed: what `weirctl problems` knows from memory. It hears of all that from
 * the events. Bounded: a table for each kind, in which the one that was quiet
 * for longest makes room. Event loop's thread; time is an argument.
 */
#ifndef OS_PROBLEMS_H
#define OS_PROBLEMS_H

#include "os/events.h"

#define PROBLEMS_SPAN_MS (60 * 60 * INT64_C(1000))

enum problem_kind {
	PROBLEM_SENDER,  /* refused; who: the source's key */
	PROBLEM_CLIENT,  /* turned away; who: its address */
	PROBLEM_COMMAND, /* failed; who: the option that names it */
	PROBLEM_KINDS
};
/* Entries of each kind. */
extern const size_t problems_max[PROBLEM_KINDS];

struct problem {            /* borrowed */
	uint64_t seq;       /* the latest has the highest */
	const char *who;    /* cut where it is very long */
	const char *option; /* behind it, static; NULL: none */
	const char *why;    /* in words, of the last time */
	uint64_t count;     /* within the hour, to five minutes */
	int64_t last;       /* wall ms */
};

struct problems;

/* events: followed until problems_free. */
struct problems *problems_new(struct events *events);
void problems_free(struct problems *p); /* takes NULL; before the events */
/* One more. Without an option the words of one that has them stay. */
void problems_note(struct problems *p, enum problem_kind kind, const char *who,
    const char *option, const char *why, int64_t wall);
/* Calls fn for those of the last hour below seq (UINT64_MAX: all), the latest
 * first, until it returns false. */
void problems_each(const struct problems *p, enum problem_kind kind,
    uint64_t seq, int64_t wall,
    bool (*fn)(void *arg, const struct problem *problem), void *arg);

#endif
