/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one name that all spellings of a login count under. What a server takes
 * for a login is its own affair: case, blanks and quotes nearly always make no
 * difference, and many look at the local part alone. Pure.
 */
#ifndef GATE_LOGIN_H
#define GATE_LOGIN_H

#include "gate/locals.h"

#define LOGIN_NAME_MAX 1100 /* longer ones stay as they are */

enum login_form {
	LOGIN_LOWER,     /* as addresses are compared; else lower case */
	LOGIN_EXACT,     /* as it was written */
	LOGIN_LOCALPART, /* lower case, without domain */
};

struct login_rules {
	enum login_form form;
	/* Where it has domains, a login of another one counts by its local part
	 * in every form; NULL: none. */
	const struct locals *locals;
	/* smtp_address_key. */
	size_t (*key)(
	    struct str address, bool fold_tag, char out[LOCALS_KEY_MAX]);
};

/* Borrows from out or from user. Empty for an empty one alone. */
struct str login_name(
    const struct login_rules *rules, struct str user, char out[LOGIN_NAME_MAX]);

#endif
