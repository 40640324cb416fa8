/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reverse paths that are made for one message or one recipient, and the one
 * address that they all come back to:
 *
 *	VERP	list-bounces+bob=example.net@list	list-bounces@list
 *		bounce-17-bob=example.net@list		bounce@list
 *	BATV	prvs=1234abcdef=alice@example.org	alice@example.org
 *		btv1==12ab==alice@example.org		alice@example.org
 *	SRS	SRS0=hash=tt=example.net=bob@fwd	srs0@fwd
 *	tags	alice+shop@example.org			alice@example.org
 *
 * Only for counting: mail goes to the address as it came. Pure. Any thread.
 */
#ifndef BASE_REVERSE_PATH_H
#define BASE_REVERSE_PATH_H

#include "base/str.h"

#define REVERSE_PATH_MAX 512

/* The address without quotes that quote nothing (mailbox_plain). One
 * that may lead elsewhere (mailbox_is_indirect), or whose local part needs
 * quotes, is its own base, as is what does not fit. The result borrows from
 * address or out. */
struct str reverse_path_base(struct str address, char out[REVERSE_PATH_MAX]);
#endif
