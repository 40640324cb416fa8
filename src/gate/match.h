/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A compiled list of users, addresses, domains and networks, as `match` and
 * `exempt_recipients` have them. Exact names and domains cost one look-up
 * however long the list; networks one per prefix length in use. Reads the
 * files that entries name, when it is made and never after. No clock, one
 * owner.
 */
#ifndef GATE_MATCH_H
#define GATE_MATCH_H

#include "base/ip.h"
#include "base/str.h"

#define MATCH_ENTRIES_MAX 1000000

struct match;

/* What kind of list: of senders (every form of entry), or of recipients
 * (addresses, domains and files alone). */
enum match_kind { MATCH_SENDERS, MATCH_RECIPIENTS };

struct match *match_new(enum match_kind kind);
void match_free(struct match *m);
/* Adds an entry, or those of a file. False: what is wrong with it in err, with
 * file and line when it stands in a file. */
MUST_CHECK bool match_add(
    struct match *m, struct str entry, char *err, size_t err_cap);
size_t match_count(const struct match *m);

/* One of the entries is from:<>. */
bool match_has_null(const struct match *m);
/* The first address or domain without user: or from: in front; NULL: none. */
const char *match_bare(const struct match *m);

/* What entries are held against. Names may be empty, client IP_NONE. */
struct match_facts {
	struct str user;   /* user: and entries without a word in front */
	struct str sender; /* from: */
	struct str own;    /* the name of a source that has no login: entries
			      without a word in front */
	struct ip client;
};
bool match_sender(const struct match *m, const struct match_facts *facts);
bool match_recipient(const struct match *m, struct str address);

#endif
