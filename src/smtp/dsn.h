/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom a bounce says that it could not reach: the failed recipients of a
 * message/delivery-status (RFC 3464) in a multipart/report (RFC 6522). Without
 * I/O, bounded: what is longer or deeper than reports are tells nothing. Any
 * thread.
 */
#ifndef SMTP_DSN_H
#define SMTP_DSN_H

#include "smtp/envelope.h"

#define SMTP_DSN_TEXT_MAX 262144 /* bytes of a text that are looked at */
#define SMTP_DSN_LINE_MAX 1000   /* of a field, unfolded; the rest is cut */
#define SMTP_DSN_RCPTS_MAX 100   /* recipients of one report */
#define SMTP_DSN_ADDRESS_MAX 254
#define SMTP_DSN_STATUS_MAX 12

/* Borrowed for the call; addresses have no brackets. */
struct smtp_dsn_rcpt {
	struct str envid;    /* Original-Envelope-Id, not empty */
	struct str original; /* Original-Recipient; empty: none is told */
	struct str final;    /* Final-Recipient, not empty */
	struct str status;   /* "5.1.1" */
};

typedef void smtp_dsn_fn(void *arg, const struct smtp_dsn_rcpt *rcpt);

struct smtp_dsn { /* dsn.c's own */
	uint32_t seen, rcpts;
	uint8_t state;
	bool is_status, is_encoded; /* the part in hand */
	bool has_group, has_failed; /* the group of fields in hand */
	bool is_first;              /* it is that of the whole message */
	uint16_t line_n, field_n;
	uint8_t boundary_n, envid_n, original_n, final_n, status_n;
	char boundary[70], envid[SMTP_ENVID_MAX];
	char original[SMTP_DSN_ADDRESS_MAX], final[SMTP_DSN_ADDRESS_MAX];
	char status[SMTP_DSN_STATUS_MAX];
	char line[SMTP_DSN_LINE_MAX], field[SMTP_DSN_LINE_MAX];
};

void smtp_dsn_init(struct smtp_dsn *d);
/* A text, header first; lines end in CR LF or LF; cut anywhere. fn hears of
 * each failed recipient once its fields have ended. */
void smtp_dsn_feed(
    struct smtp_dsn *d, struct str text, smtp_dsn_fn *fn, void *arg);
/* It is no report, or has been read: nothing more will come of it. */
bool smtp_dsn_is_over(const struct smtp_dsn *d);

#endif
