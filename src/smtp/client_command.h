/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MAIL and RCPT in wire form (RFC 5321, 1870, 6152, 6531, 3461), as a peer
 * with given extensions takes them. client.c's own.
 */
#ifndef SMTP_CLIENT_COMMAND_H
#define SMTP_CLIENT_COMMAND_H

#include "base/buf.h"
#include "smtp/envelope.h"
#include "smtp/ext.h"

/* Append a whole line with CR LF. False: a value holds control characters, a
 * blank or an angle bracket outside quotes (stored envelopes are not trusted),
 * there is no recipient, or out is full; out is then as it was. */
MUST_CHECK bool client_command_mail(const struct smtp_mail *mail,
    const struct smtp_caps *caps, struct buf *out);
MUST_CHECK bool client_command_rcpt(const struct smtp_rcpt *rcpt,
    const struct smtp_caps *caps, struct buf *out);

#endif
