/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes in the server that several relays share: scopes.lua decides. All of a
 * site's have one hash tag, since a recipient counts in several at once. A
 * place that was reserved and is told nothing of counts as used after
 * SCOPES_LEASE_S. Event loop's thread.
 */
#ifndef SHARE_SCOPES_H
#define SHARE_SCOPES_H

#include "share/question.h"
#include "share/redis_link.h"
#include "share/seal.h"

#define SCOPES_LEASE_S 60
#define SCOPES_VERSION 1 /* of keys: another script, other windows */

struct scopes;

/* link and seal are borrowed and live longer; the others are copied. */
struct scopes *scopes_new(struct redis_link *link, const struct seal *seal,
    const char *prefix, const char *relay);
/* Answers that are on their way do not come. After the link; takes NULL. */
void scopes_free(struct scopes *s);
/* False: the server is not there, or that is too much; fn is not called. */
MUST_CHECK bool scopes_ask(struct scopes *s, const struct share_scopes *q,
    share_scopes_fn *fn, void *arg);

#endif
