/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What quarantine.c (claims, results) and quarantine_check.c (the listing)
 * share. Nobody else includes it.
 */
#ifndef DELIVERY_QUARANTINE_PRIVATE_H
#define DELIVERY_QUARANTINE_PRIVATE_H

#include "delivery/mta_queue.h"
#include "delivery/mta_run.h"
#include "delivery/quarantine.h"

#define QUARANTINE_BATCH_MAX MTA_RUN_MAX

struct quarantine_check {
	struct loop_timer timer;
	struct command *run;
	struct mta_listing listing;
	bool walking;
	/* A listing has shown one of ours, now or before a restart: the command
	 * does what it is meant to do. One that shows none proves nothing. */
	bool is_proven;
	int64_t begun_at; /* wall */
	uint64_t after;
	uint64_t *missing;
	size_t missing_count, seen_count;
};

struct quarantine {
	struct quarantine_check check;
	struct loop *loop;
	struct spool *spool;
	struct quarantine_callbacks callbacks;
	void *arg;
	struct counters *counters;
	struct events *events; /* NULL: nobody hears */
	struct log *log;
	struct mta_command release, discard, queue;
	char *queue_text; /* as it was given, NULL: none */
	int64_t check_ms, settle_ms, timeout_ms;
	bool draining;
	void (*on_drained)(void *arg);
	void *drained_arg;

	bool busy; /* from a claim to the end of its results */
	bool kicked;
	bool stopped; /* since the claim */
	struct loop_timer wake;
	struct loop_timer finish_again;
	int64_t rest_until; /* monotonic: commands fail */
	unsigned failures;  /* in a row */
	unsigned claim_failures;
	size_t claim_max;
	size_t batch_max; /* halved by a failure, to find what spoils it */
	struct spool_quarantined batch[QUARANTINE_BATCH_MAX];
	struct spool_quarantine_result results[QUARANTINE_BATCH_MAX];
	bool done[QUARANTINE_BATCH_MAX];
	size_t n;
	/* The run under way: what it is about. */
	struct command *run;
	bool run_discards;
	size_t run_ids[QUARANTINE_BATCH_MAX], run_count;
	char *texts[QUARANTINE_BATCH_MAX]; /* of results, one a run */
	size_t text_count;
};

/* quarantine.c */
void quarantine_log_end(const struct quarantine *q, const char *what,
    size_t messages, const struct command_end *end);
/* quarantine_check.c */
void quarantine_check_init(struct quarantine *q);
void quarantine_check_clear(struct quarantine *q);

#endif
