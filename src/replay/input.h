/* SPDX-License-Identifier: BSD-3-Clause */
/* Files, plain or packed, in pieces or as lines. Blocks. */
#ifndef REPLAY_INPUT_H
#define REPLAY_INPUT_H

#include "base/err.h"
#include "replay/lines.h"

/* False: what is wrong in err, or err is empty: no more is wanted. */
typedef bool input_fn(void *arg, struct str piece, struct err *err);

/* What is in the file, unpacked, goes to fn. 0, or a sysexits status with one
 * line for the user in err: 66 it cannot be opened, 65 its content is wrong, 74
 * it cannot be read. */
MUST_CHECK int input_read_pieces(
    const char *path, input_fn *fn, void *arg, struct err *err);
/* The same of a descriptor; name: for err. */
MUST_CHECK int input_read_fd(
    int fd, const char *name, input_fn *fn, void *arg, struct err *err);
/* The same, every line to fn. */
MUST_CHECK int input_read(
    const char *path, lines_fn *fn, void *arg, struct err *err);

#endif
