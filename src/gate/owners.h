/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which addresses a login may give as its envelope sender, beside its own:
 * sender_address_file, as Postfix's smtpd_sender_login_maps the other way
 * round. Lines are
 *
 *	login address address @domain ...
 *
 * with blanks or commas between, and # for comments. Reads the file when it is
 * made, hence blocks: at start and at a reload; never changed after it.
 */
#ifndef GATE_OWNERS_H
#define GATE_OWNERS_H

#include "base/str.h"

struct owners;

/* NULL: what is wrong in err, with file and line. */
struct owners *owners_read(const char *path, char *err, size_t err_cap);
void owners_free(struct owners *o); /* takes NULL */
/* Logins and addresses are compared in lower case. An @domain covers no local
 * part in which another address may hide (mailbox_is_indirect). */
bool owners_have(const struct owners *o, struct str login, struct str address);

#endif
