/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is ours: the networks of our clients, the domains that mail comes in to,
 * and which of their addresses are users, by the name they send under. The
 * address that mail comes to and the name that a user logs in with are two
 * things; nothing but the configuration tells how they belong together. The
 * envelope sender that a user gives would tell as well, but whoever has stolen
 * one account could give any: so it is not asked.
 *
 * Made from a configuration, never changed after it, counted. Reads the files
 * that entries name when they are added.
 */
#ifndef GATE_LOCALS_H
#define GATE_LOCALS_H

#include "base/ip.h"
#include "base/str.h"

#define LOCALS_KEY_MAX 512
#define LOCALS_USERS_MAX 16 /* that one address stands for */

enum locals_source {      /* how a user sends, unless it was told */
	LOCALS_ADDRESS,   /* logs in by the address */
	LOCALS_LOCALPART, /* logs in by its local part */
	LOCALS_ENVELOPE,  /* does not log in, is known by envelope sender */
};

struct locals;

/* key: the form in which addresses are compared (smtp_address_key). */
struct locals *locals_new(enum locals_source source,
    size_t (*key)(struct str address, bool fold_tag, char out[LOCALS_KEY_MAX]));
/* "example.org" or "file:/path"; "address=user" or "file:/path". False: what
 * is wrong with it in err. Before anybody else has a reference. */
MUST_CHECK bool locals_add_domain(
    struct locals *l, struct str entry, char *err, size_t err_cap);
MUST_CHECK bool locals_add_user(
    struct locals *l, struct str entry, char *err, size_t err_cap);
/* Whose addresses are familiar to all senders (internal_domains): those of
 * local_domains until locals_clear_internal was called. The entry
 * "local_domains" stands for them; else as locals_add_domain. */
void locals_clear_internal(struct locals *l);
MUST_CHECK bool locals_add_internal(
    struct locals *l, struct str entry, char *err, size_t err_cap);
/* Clients that are ours (my_networks); loopback is without being named. */
void locals_add_network(struct locals *l, const struct ip_net *net);
/* One reference more; locals_free gives one back, and the last frees. */
struct locals *locals_ref(struct locals *l);
void locals_free(struct locals *l);
/* There are domains, and the one behind the last '@' is none of them. */
bool locals_is_foreign(const struct locals *l, struct str login);
/* Mail to it comes in. */
bool locals_has(const struct locals *l, struct str address);
/* Something says which mail comes in. False with l == NULL. */
bool locals_has_domains(const struct locals *l);
/* Of one of internal_domains. False with l == NULL. */
bool locals_is_internal(const struct locals *l, struct str address);
/* local_domains are among them. */
bool locals_local_is_internal(const struct locals *l);
/* A client of ours: local (IP_NONE and loopback, with l == NULL too), or in one
 * of the networks. */
bool locals_has_client(const struct locals *l, const struct ip *client);

/* What a user's own mail has: the login's name, empty for none, and the
 * address. Borrowed for the call. */
typedef void locals_user_fn(void *arg, struct str user, struct str address);
/* For each user that the address stands for; "user+tag" is user. */
void locals_each_user(
    const struct locals *l, struct str address, locals_user_fn *fn, void *arg);

#endif
