/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way out for mail in the mail server's own hold queue: what the spool says
 * may go is released there by a command of the site's, what is doomed is
 * deleted by another, and a third that lists the queue tells what has gone by
 * other hands. Event loop's thread.
 */
#ifndef DELIVERY_QUARANTINE_H
#define DELIVERY_QUARANTINE_H

#include "delivery/mta_run.h"
#include "net/loop.h"
#include "os/counters.h"
#include "os/events.h"
#include "os/log.h"
#include "spool/spool.h"

struct quarantine;

struct quarantine_callbacks {
	/* The hold queue has these no more; ids borrowed for the call. */
	void (*on_gone)(void *arg, const uint64_t *ids, size_t n);
};

struct quarantine *quarantine_new(struct loop *loop, struct spool *spool,
    const struct mta_settings *settings,
    const struct quarantine_callbacks *callbacks, void *arg,
    struct counters *counters, struct log *log);
/* Who hears of commands that fail; borrowed, NULL: nobody. */
void quarantine_set_events(struct quarantine *q, struct events *events);
void quarantine_reload(
    struct quarantine *q, const struct mta_settings *settings);
/* Something may go or is doomed, or the daemon has started. */
void quarantine_kick(struct quarantine *q, int64_t now);
/* A source was frozen: what is claimed and has not been given to a command goes
 * back to the spool, which knows whose it is. */
void quarantine_stop(struct quarantine *q);
/* Starts no command more; fn when the last one has ended. */
void quarantine_drain(struct quarantine *q, void (*fn)(void *arg), void *arg);
/* What a command is at is due again after a restart. As with delivery no
 * spool_dispatch may follow. */
void quarantine_free(struct quarantine *q);

#endif
