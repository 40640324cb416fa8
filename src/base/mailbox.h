/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The local part of an address, and the two ways of writing it: RFC 5321
 * section 4.1.2 says that a quoted string means the same as its content alone
 * where that needs no quotes. Whatever compares addresses, with whatever
 * rules for the rest, compares this form; what is sent on stays as it came.
 */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include "base/str.h"

#define MAILBOX_PLAIN_MAX 512 /* longer ones are no addresses */

/* Bytes of the quoted string at the start of s, 0: there is none. */
size_t mailbox_quoted_length(struct str s);
/* Bytes of the local part at the start of s, quoted or of letters and dots (RFC
 * 6531: of UTF-8 too); 0: there is none. */
size_t mailbox_local_length(struct str s);
/* A local part without quotes, or quoted in the one way that all writings of
 * it have in common. out has room for as many bytes as came; returns how many
 * it needs. */
size_t mailbox_plain_local(struct str local, char *out);
/*
 * A mail server may look into the local part for the address that is meant: the
 * percent hack (user%host@us), UUCP's bang path (host!user@us), and an '@' that
 * quotes hide. Such an address says nothing about whose mailbox it is, and must
 * not be taken for one of its domain's. True as well for what is no address.
 */
bool mailbox_is_indirect(struct str address);
/* A whole address so, the rest as it came; what is none, or is too long,
 * comes back as it is. The result borrows from address or out. */
struct str mailbox_plain(struct str address, char out[MAILBOX_PLAIN_MAX]);

/* Is a sender of a domain, as sources are named: "alice@example.org" or, by the
 * envelope, "<alice@example.org>"? Letters in either case. */
bool mailbox_is_in(struct str source, struct str domain);

#endif
