/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What went wrong, in words for a person. A function that can fail is given one
 * by its caller and sets it when it fails; until then it holds nothing.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

#define ERR_TEXT_MAX 1024

struct err {
	char text[ERR_TEXT_MAX];
};

/* For a function that takes a buffer and its size. */
#define ERR_ROOM(e) (e)->text, sizeof((e)->text)

/* Cut where it is too long. What was there may be an argument, to put words in
 * front of it. Returns false, which is what its caller mostly returns. */
PRINTF_LIKE(2, 3) bool err_set(struct err *e, const char *fmt, ...);

#endif
