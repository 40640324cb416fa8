/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text without case, for searches by people: UTF-8 whose letters are all small.
 * One owner, one thread each.
 */
#ifndef BASE_FOLD_H
#define BASE_FOLD_H

#include "base/str.h"

struct fold;

/* Where the system has no table of Unicode's letters, ASCII's alone are made
 * small. */
struct fold *fold_new(void);
void fold_free(struct fold *f); /* takes NULL */
/* Borrowed until the next call. Bytes that are no UTF-8 stay, and what lies
 * beyond FOLD_MAX is left out. */
#define FOLD_MAX 8192
struct str fold_text(struct fold *f, struct str s);
/* Does s contain what was folded before? An empty one is in everything. */
bool fold_has(struct fold *f, struct str s, struct str folded);

#endif
