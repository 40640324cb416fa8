/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads what a command names, log files, "-" or the journal, into submissions.
 * Blocks. */
#ifndef REPLAY_LOGS_H
#define REPLAY_LOGS_H

#include "replay/command.h"
#include "replay/feed.h"
#include "replay/setup.h"
#include "replay/submissions.h"

struct logs {
	struct submissions submissions;
	struct locals *locals; /* networks and domains that are ours */
	char *domain;          /* one of them; "example.org" */
	bool has_guessed;      /* the domains: from logins */
	struct feed_stats stats;
	struct join_stats joined;
	const char **names; /* of files, in the order in which they were read */
	size_t name_count;
};

/* 0, or a sysexits status with why in err; logs_clear in any case. */
MUST_CHECK int logs_read(struct logs *l, const struct command_args *args,
    const struct setup *setup, struct err *err);
void logs_clear(struct logs *l);
/* The table that ends a report: lines by what became of them, and what such a
 * log cannot show. */
void logs_print(const struct logs *l);
/* The counts of that table that are not zero. */
void logs_counts(const struct logs *l,
    void (*fn)(void *arg, const char *what, uint64_t n), void *arg);

#endif
