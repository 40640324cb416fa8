/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A freeze reaches what weir had let go and what still waits in the mail
 * server's own queue: it is put on hold there by a command of the site's, and
 * released or deleted when the source is thawed. Which messages those are the
 * spool knows before the command runs. Event loop's thread.
 */
#ifndef DELIVERY_MTA_HOLD_H
#define DELIVERY_MTA_HOLD_H

#include "delivery/let_go.h"
#include "delivery/mta_run.h"
#include "net/loop.h"
#include "os/counters.h"
#include "os/events.h"
#include "os/log.h"
#include "spool/spool.h"

struct mta_hold;

/* Without hold or queue in settings nothing is put on hold; what is goes out
 * when there are release and discard. let_go is borrowed, and on while
 * something can be put on hold. events hears of commands that fail; NULL:
 * nobody does. */
struct mta_hold *mta_hold_new(struct loop *loop, struct spool *spool,
    struct let_go *let_go, const struct mta_settings *settings,
    struct events *events, struct counters *counters, struct log *log);
void mta_hold_reload(struct mta_hold *h, const struct mta_settings *settings);
/* The source was frozen, durably. */
void mta_hold_freeze(struct mta_hold *h, const char *source, int64_t now);
/* A source may have been thawed, or the daemon has started. */
void mta_hold_kick(struct mta_hold *h, int64_t now);
/* A command under way is ended; after a restart it runs again. As with delivery
 * no spool_dispatch may follow. */
void mta_hold_free(struct mta_hold *h); /* takes NULL */

#endif
