/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With which name and password weir logs in at a next hop, from a file that
 * nobody else may read (or that root has put into $CREDENTIALS_DIRECTORY, see
 * systemd.exec(5)). Immutable and counted by reference, since connections
 * under way outlive a reload. The last reference wipes it.
 *
 * One entry a line, # begins a comment:
 *	USER:PASSWORD  or  USER PASSWORD		at every next hop
 *	NEXT_HOP USER:PASSWORD  or  NEXT_HOP USER PASSWORD
 * with NEXT_HOP as the configuration writes it.
 */
#ifndef DELIVERY_CREDENTIALS_H
#define DELIVERY_CREDENTIALS_H

#include "base/str.h"

struct credentials;

struct credential {
	const char *next_hop; /* NULL: any */
	const char *user, *password;
};

/* Blocks. NULL and a reason in err: it cannot be read, others may read it, a
 * line is wrong, or it names a next hop that is not one of hops. */
struct credentials *credentials_load(const char *path, const char *const *hops,
    size_t hop_count, char *err, size_t err_cap);
/* NULL in is NULL out. */
struct credentials *credentials_ref(struct credentials *c);
void credentials_free(struct credentials *c);
/* NULL: none for it. c may be NULL. */
const struct credential *credentials_find(
    const struct credentials *c, const char *next_hop);

#endif
