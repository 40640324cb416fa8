/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What leaves a relay for the shared server is named by a keyed hash and sealed
 * (AES-256-GCM), both under keys made of the site's secret: whoever reads the
 * server learns no address, and whoever writes to it can freeze nobody. The
 * relays of a site have the same secret. One thread.
 */
#ifndef SHARE_SEAL_H
#define SHARE_SEAL_H

#include "base/buf.h"

#define SEAL_SECRET_MIN 16 /* bytes */
#define SEAL_ID 16         /* bytes of a name */
#define SEAL_NUMBER 16     /* bytes of a number's name */
#define SEAL_EXTRA 28      /* bytes that sealing adds */

struct seal;

struct seal *seal_new(struct str secret);
void seal_free(struct seal *s); /* wipes it; takes NULL */
/* domain: what is named, so that two kinds of things never share a name. */
void seal_id(const struct seal *s, const char *domain, struct str name,
    unsigned char out[SEAL_ID]);
/* A name that the number can be had back from, the same each time. False: none
 * of ours. */
void seal_number(
    const struct seal *s, uint64_t number, unsigned char out[SEAL_NUMBER]);
MUST_CHECK bool seal_number_open(const struct seal *s,
    const unsigned char name[SEAL_NUMBER], uint64_t *number);
/* about: is not part of it, but is needed to open it. False: no room in out. */
MUST_CHECK bool seal_close(
    const struct seal *s, struct str about, struct str plain, struct buf *out);
/* False: it was not sealed with this secret and about this, or out has no room.
 * out is emptied first. */
MUST_CHECK bool seal_open(
    const struct seal *s, struct str about, struct str sealed, struct buf *out);

#endif
