/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file in which frozen hosts are remembered. Written by a thread of its
 * own, so that the loop never waits for a disk; of several texts that wait the
 * last one counts. A write that fails is told in the log, and tried again with
 * the next change.
 */
#ifndef NETD_STATE_H
#define NETD_STATE_H

#include "base/buf.h"
#include "os/log.h"

#define STATE_TEXT_MAX (64u << 20)

struct state;

/* Makes the directory where it is missing. NULL and a reason in err. */
struct state *state_open(
    const char *dir, struct log *log, char *err, size_t cap);
/* What was stored, at start; empty when there is nothing. 0 or errno. */
MUST_CHECK int state_read(struct state *s, struct buf *out);
void state_write(struct state *s, char *text); /* takes it */
/* Writes what waits. */
void state_close(struct state *s);

#endif
