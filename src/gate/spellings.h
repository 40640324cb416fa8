/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Spellings of one login. A next hop that takes a login with any domain, with a
 * tag or with dots, would give each spelling an allowance of its own, and weir
 * does not know which spellings its accounts have. But whoever has one account
 * has one password: logins whose local parts are alike and whose passwords are
 * the same count under the name that was seen first. Two people are taken for
 * one only if their names are that much alike and their passwords are equal.
 *
 * Passwords are known here as keyed hashes alone, of a key that ends with the
 * process. Bounded: what was not used for long makes room. Pure, one owner.
 */
#ifndef GATE_SPELLINGS_H
#define GATE_SPELLINGS_H

#include "base/str.h"

#define SPELLINGS_MAX 8192

struct spellings;

struct spellings *spellings_new(void);
void spellings_free(struct spellings *s); /* takes NULL */
/* The name that this account counts under: that of the first of its spellings,
 * name itself where it is the first. name is folded already (login.h).
 * with_domain: logins of two domains are two accounts. proof: of the password;
 * 0: none, then name. Borrowed until the next call. */
struct str spellings_first(
    struct spellings *s, struct str name, bool with_domain, uint64_t proof);

#endif
