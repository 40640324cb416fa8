/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The refusal of what the spool has no room for, in words: which limit, how
 * much of it is used, and when to try again later.
 */
#ifndef FRONT_ROOM_H
#define FRONT_ROOM_H

#include "spool/spool.h"

#define ROOM_TEXT_MAX 200

const char *room_words(
    const struct spool_usage *usage, char out[ROOM_TEXT_MAX]);

#endif
