/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection to Dovecot's authentication service, shared by all sessions
 * and made anew when it is lost. Event loop's thread.
 */
#ifndef RELAY_AUTH_LINK_H
#define RELAY_AUTH_LINK_H

#include "net/conn.h"
#include "os/log.h"
#include "smtp/dovecot.h"

struct auth_link;
struct auth_try; /* one exchange */

/* An answer to the last thing that was said. OK and FAIL end the try. FAIL with
 * temporary: also when the service cannot be reached or went away. */
typedef void auth_try_fn(void *arg, const struct dovecot_answer *answer);

struct auth_link *auth_link_new(struct loop *loop, struct log *log);
/* Every try fails. */
void auth_link_free(struct auth_link *l);
/* Where the service is; another one takes effect with the next connection.
 * NULL: none is used. Connects. */
void auth_link_set(struct auth_link *l, const struct net_addr *addr);
/* The mechanisms that it offered last; before it has, PLAIN and LOGIN. */
unsigned auth_link_mechs(const struct auth_link *l);
/* fn is never called from within. */
struct auth_try *auth_link_start(struct auth_link *l, enum sasl_mech mech,
    const struct dovecot_client *client, bool has_initial, struct str initial,
    auth_try_fn *fn, void *arg);
void auth_try_continue(struct auth_try *t, struct str response);
void auth_try_cancel(struct auth_try *t); /* ends it, without a call */

#endif
