/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The part of a freeze and of a thaw that is about the mail server's own queue,
 * within their commit.
 */
#ifndef SPOOL_MTA_HELD_H
#define SPOOL_MTA_HELD_H

#include "spool/core.h"

void mta_held_turn(
    struct tx *tx, const char *source, bool frozen, bool discards);

#endif
