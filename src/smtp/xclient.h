/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XCLIENT and XFORWARD (Postfix): who the client really is, as attributes in
 * xtext, at most 512 characters a command. Read and written here, without I/O.
 */
#ifndef SMTP_XCLIENT_H
#define SMTP_XCLIENT_H

#include "base/buf.h"
#include "base/ip.h"

enum xclient_attr { /* bits */
	XCLIENT_NAME = 1,
	XCLIENT_ADDR = 2,
	XCLIENT_PORT = 4,
	XCLIENT_PROTO = 8,
	XCLIENT_HELO = 16,
	XCLIENT_LOGIN = 32,
	XCLIENT_DESTADDR = 64,
	XCLIENT_DESTPORT = 128,
	XCLIENT_IDENT = 256,  /* XFORWARD alone */
	XCLIENT_SOURCE = 512, /* XFORWARD alone */
};

#define XCLIENT_ATTRS                                                 \
	(XCLIENT_NAME | XCLIENT_ADDR | XCLIENT_PORT | XCLIENT_PROTO | \
	    XCLIENT_HELO | XCLIENT_LOGIN | XCLIENT_DESTADDR |         \
	    XCLIENT_DESTPORT)
#define XFORWARD_ATTRS                                                \
	(XCLIENT_NAME | XCLIENT_ADDR | XCLIENT_PORT | XCLIENT_PROTO | \
	    XCLIENT_HELO | XCLIENT_IDENT | XCLIENT_SOURCE)
#define XCLIENT_LINE_MAX 512 /* with CR LF */

struct xclient {
	unsigned given; /* which attributes it says something of */
	unsigned temp;  /* those that are unavailable for the moment alone */
	char name[256]; /* "": unavailable, as for the others */
	char helo[256];
	char login[256];
	char ident[256];
	struct ip addr, dest_addr; /* IP_NONE: unavailable */
	uint16_t port, dest_port;  /* 0: unavailable */
	bool esmtp, local;         /* PROTO, SOURCE */
};

/* Reads "NAME=VALUE ..." of the attributes in allowed. False: it is malformed,
 * *why says how (a constant). Attributes that are not given are zero. */
MUST_CHECK bool xclient_parse(
    struct str args, unsigned allowed, struct xclient *out, const char **why);
/* The attributes of a list ("NAME ADDR"), as an EHLO line has it. */
unsigned xclient_attrs_parse(struct str list);
const char *xclient_attrs_format(unsigned attrs, char *out, size_t cap);
/* Appends the commands that tell x->given & attrs, whole lines of at most 512
 * bytes, and counts them in *commands. What is unavailable is said to be. A
 * value too long for a line is left out. False: out is full. */
MUST_CHECK bool xclient_print(const struct xclient *x, unsigned attrs,
    struct buf *out, unsigned *commands);

#endif
