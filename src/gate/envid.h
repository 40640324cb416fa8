/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ENVID (RFC 3461) that weir gives its mail: by it weir knows a bounce of
 * its own mail, whoever brings it. It is
 *
 *	weir-SENDER-MESSAGE-TAG
 *
 * in hexadecimal digits: the sender's name under a keyed hash (8 bytes), the
 * queue id (8), and a tag (16, HMAC-SHA256) of both. So it tells nobody who has
 * logged in, and nobody can make one. The key is the spool's.
 */
#ifndef GATE_ENVID_H
#define GATE_ENVID_H

#include "base/str.h"

#define ENVID_KEY 32
#define ENVID_TEXT_MAX 72 /* with its end */

struct envid {
	uint64_t sender, message;
};

/* What is made and checked with a key, set up once. Event loop's thread. */
struct envid_key;

struct envid_key *envid_key_new(const unsigned char secret[ENVID_KEY]);
void envid_key_free(struct envid_key *k); /* takes NULL */
/* Never 0. */
uint64_t envid_sender(struct envid_key *k, struct str name);
/* Returns out. */
const char *envid_format(
    struct envid_key *k, const struct envid *id, char out[ENVID_TEXT_MAX]);
/* It looks like one. */
bool envid_is_ours(struct str text);
/* False: weir gave none such. */
MUST_CHECK bool envid_parse(
    struct envid_key *k, struct str text, struct envid *out);

#endif
