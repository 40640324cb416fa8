/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * This process: what it takes, from getrusage(2) and /proc/self, how many files
 * it may open, its threads. Any thread.
 */
#ifndef OS_PROCESS_H
#define OS_PROCESS_H

#include "base/base.h"

#include <pthread.h>

struct process_stats {
	double cpu_s; /* user and system */
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_files, max_files;
	double started_at_s; /* since 1970; 0: not known */
};

/* What cannot be found out is 0. */
void process_stats(struct process_stats *out);

/* Raises how many files may be open (RLIMIT_NOFILE) to want where it is lower,
 * as far as the process may: the soft one always, the hard one with the right
 * to. Returns the soft limit as it is then, which is less than want where it
 * was not allowed. */
uint64_t process_raise_files(uint64_t want);

/* pthread_create(3), an errno value; the thread blocks all signals, which are
 * the loop's. */
MUST_CHECK int process_start_thread(
    pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
