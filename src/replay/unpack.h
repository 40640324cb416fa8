/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packed bytes in, plain bytes out: gzip, xz and zstd, told by their first
 * bytes, or none of them. It may unpack to any length; its own memory is
 * bounded.
 */
#ifndef REPLAY_UNPACK_H
#define REPLAY_UNPACK_H

#include "base/str.h"

struct unpack;

/* False: no more is wanted. */
typedef bool unpack_fn(void *arg, struct str plain);

struct unpack *unpack_new(unpack_fn *fn, void *arg);
void unpack_free(struct unpack *u); /* takes NULL */
/* last: no more comes; with an empty piece too. False: *why is what is wrong,
 * static, or NULL where fn wanted no more. */
MUST_CHECK bool unpack_push(
    struct unpack *u, struct str piece, bool last, const char **why);

#endif
