/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The freeze hook: a command of the site's, run once per freeze with the facts
 * in its environment (WEIR_SENDER, WEIR_POLICY, WEIR_REASON,
 * WEIR_QUEUE_LENGTH, WEIR_FREEZE_AT, WEIR_TIME; of mail also WEIR_PASSED,
 * WEIR_CLIENTS and WEIR_SUBJECTS). No shell is involved: what a
 * sender calls itself is only ever a value. Event loop's thread.
 */
#ifndef NET_HOOK_H
#define NET_HOOK_H

#include "net/loop.h"
#include "os/events.h"
#include "os/log.h"

struct hook;

struct hook_freeze { /* borrowed during the call */
	const char *sender, *policy, *reason;
	uint32_t queue_length, freeze_at;
	int64_t at; /* wall ms */
	/* Of mail; NULL: not told, none of the three. */
	const char *clients, *subjects;
	uint32_t passed;
};

#define HOOK_RUNNING_MAX 8 /* at once; more wait, up to HOOK_WAITING_MAX */
#define HOOK_WAITING_MAX 1000

struct hook *hook_new(struct loop *loop, struct log *log);
/* Who hears of commands that fail; borrowed, NULL: nobody. */
void hook_set_events(struct hook *h, struct events *events);
/* command NULL: nothing to do. */
void hook_run(
    struct hook *h, const char *command, const struct hook_freeze *freeze);
void hook_free(struct hook *h);

#endif
