/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether somebody is at the next hops, asked before anybody waits for it. With
 * a milter weir goes there only when the first held mail is let out, which may
 * be days later. A next hop that does not answer is a warning, never an error:
 * it may be about to start.
 */
#ifndef MAILD_MAILD_PROBE_H
#define MAILD_MAILD_PROBE_H

#include "maild/maild_internal.h"
#include "maild/maild_warn.h"

/* For -t: waits, each next hop by itself, for some seconds at most. Logs in
 * nowhere. */
void maild_probe_wait(
    const struct maild_config *c, maild_warn_fn *fn, void *arg);

/* The running daemon, beside everything else: with a milter, a connection to
 * each kind of next hop, kept for the mail to come. While it is new, the milter
 * tells where it is shown that very connection: such a next hop would bring all
 * that is let out back to weir. */
void maild_probe_start(struct maild *m);
void maild_probe_stop(struct maild *m); /* before the next hops are freed */

#endif
