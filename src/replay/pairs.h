/* SPDX-License-Identifier: BSD-3-Clause */
/* "key=value key="a value"", as weir's log has them. Pure. */
#ifndef REPLAY_PAIRS_H
#define REPLAY_PAIRS_H

#include "base/str.h"

#define PAIRS_VALUE_MAX 512

/* The next pair; the value is as it stands, without its quotes. False: there is
 * none. */
bool pairs_take(struct str *s, struct str *key, struct str *value);
/* "\x2c" and the like are what str_escape made of a byte. */
struct str pairs_unescape(struct str s, char out[PAIRS_VALUE_MAX]);

#endif
