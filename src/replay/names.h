/* SPDX-License-Identifier: BSD-3-Clause */
/* Texts and their numbers, from 1 on and at most NAMES_MAX of them. */
#ifndef REPLAY_NAMES_H
#define REPLAY_NAMES_H

#include "base/str.h"

#define NAMES_MAX 0xfffffe

struct names;

struct names *names_new(void);
void names_free(struct names *n);
/* The text's number, new where it has none; 0: there is no room for it. */
uint32_t names_id(struct names *n, struct str text);
struct str names_text(const struct names *n, uint32_t id);
uint32_t names_count(const struct names *n);

#endif
