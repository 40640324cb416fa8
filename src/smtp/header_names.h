/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom the header of a text names: the addresses in From, Sender, Reply-To, To
 * and Cc, as they stand there. A search, not a parser of RFC 5322: it finds
 * what is written plainly, and some that is no address. Without I/O, bounded.
 */
#ifndef SMTP_HEADER_NAMES_H
#define SMTP_HEADER_NAMES_H

#include "base/str.h"

#define SMTP_HEADER_NAMES_MAX 65536 /* bytes of a text that are looked at */
#define SMTP_HEADER_NAME_MAX 254    /* of an address; longer ones are none */

typedef void smtp_header_name_fn(void *arg, struct str address);

struct smtp_header_names { /* header_names.c's own */
	uint32_t seen;
	uint8_t state;
	uint8_t field_n;
	uint16_t n;
	bool is_wanted; /* the field in hand */
	char field[12];
	char text[SMTP_HEADER_NAME_MAX];
};

void smtp_header_names_init(struct smtp_header_names *s);
/* Lines end in CR LF or LF; cut anywhere. fn hears of each address once it is
 * whole. */
void smtp_header_names_feed(struct smtp_header_names *s, struct str text,
    smtp_header_name_fn *fn, void *arg);
/* The header has ended: nothing more will come of it. */
bool smtp_header_names_are_over(const struct smtp_header_names *s);
/* The same of the value of one field; of another field nothing. */
void smtp_header_names_of(
    struct str field, struct str value, smtp_header_name_fn *fn, void *arg);

#endif
