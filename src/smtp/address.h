/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths and mailboxes (RFC 5321 section 4.1.2, RFC 6531): strict limits,
 * no control characters, source routes stripped. How long a local part may be
 * within SMTP_ADDRESS_MAX is the caller's.
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "base/str.h"

#define SMTP_DOMAIN_MAX 255
#define SMTP_PATH_MAX 256 /* with the angle brackets */
#define SMTP_ADDRESS_MAX 254
#define SMTP_KEY_MAX 512 /* normalized address, terminated */

enum smtp_path_error {
	SMTP_PATH_OK,
	SMTP_PATH_SYNTAX,
	SMTP_PATH_DOMAIN_TOO_LONG,
	SMTP_PATH_TOO_LONG,
	SMTP_PATH_NOT_ASCII, /* needs SMTPUTF8, which was not asked for */
};

struct smtp_path {
	struct str address; /* local@domain as it came, no route; empty: <> */
	struct str local;   /* quotes included */
	struct str domain;  /* empty: <postmaster> alone */
};

/*
 * Parses "<...>" at the start of *rest and takes it off. The slices borrow
 * from the input. null_ok: "<>" is a path (MAIL). utf8_ok: RFC 6531.
 */
enum smtp_path_error smtp_path_parse(
    struct str *rest, bool null_ok, bool utf8_ok, struct smtp_path *out);
/*
 * The whole of an address as a mail server hands it to a milter or to a policy
 * service: with brackets or without, a source route taken off. A local part
 * alone is one that the server completes. null_ok: nothing, or "<>". Servers
 * hand on what they accepted, phrases and comments included; those are no
 * paths. The slices borrow from the text.
 */
enum smtp_path_error smtp_path_parse_given(
    struct str text, bool null_ok, struct smtp_path *out);
/* An address without brackets, as an administrator or a file has it. */
enum smtp_path_error smtp_address_parse(
    struct str address, bool utf8_ok, struct smtp_path *out);
/* The same address without UTF-8, its domain in A-labels. False: its local part
 * is not ASCII, or it is no address; then it can go where SMTPUTF8 is. */
MUST_CHECK bool smtp_address_to_ascii(
    struct str address, char out[SMTP_ADDRESS_MAX + 1]);
const char *smtp_path_error_text(enum smtp_path_error e);
/*
 * The form in which addresses are compared: lower case, quotes that quote
 * nothing removed, domain as A-label (IDNA) without final dot; with fold_tag,
 * "user+tag" without "+tag"; address literals in one spelling. A local part
 * alone is an address, too (smtp_path_parse_given). Returns its length; 0: not
 * an address.
 */
size_t smtp_address_key(
    struct str address, bool fold_tag, char out[SMTP_KEY_MAX]);

#endif
