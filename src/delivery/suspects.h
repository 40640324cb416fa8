/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages under which connections broke. One that broke two may be what the
 * next hop stumbles over (a scanner that dies of it, a proxy that hangs up): it
 * goes after the others and by itself. In memory alone: after a restart it has
 * to break two more. Bounded; the one that broke a connection longest ago is
 * forgotten first. Inside delivery alone.
 */
#ifndef DELIVERY_SUSPECTS_H
#define DELIVERY_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#define SUSPECTS_MAX 4096

struct suspects;

struct suspects *suspects_new(void);
void suspects_free(struct suspects *s);
/* A connection broke under this message. */
void suspects_note(struct suspects *s, uint64_t id);
/* It broke two. */
bool suspects_has(const struct suspects *s, uint64_t id);
/* It has ended, or a connection outlived it. */
void suspects_forget(struct suspects *s, uint64_t id);

#endif
