/* SPDX-License-Identifier: BSD-3-Clause */
/* A directory of our own for as long as the program runs. */
#ifndef REPLAY_SCRATCH_H
#define REPLAY_SCRATCH_H

#include "base/err.h"

/* Below $TMPDIR, else /tmp; heap. NULL: why in err. */
char *scratch_make(struct err *err);
/* With what is in it. */
void scratch_remove(const char *dir);

#endif
