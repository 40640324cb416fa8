/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why the daemon cannot be reached, and what to do about it.
 */
#ifndef CTL_REACH_H
#define CTL_REACH_H

#include <stddef.h>

#define REACH_MAX 640

/* error: connect(2)'s. Where it is about rights: whom the socket lets in. */
void reach_words(const char *socket, int error, char *out, size_t cap);

#endif
