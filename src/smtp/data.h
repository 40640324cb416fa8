/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DATA stream without I/O: decoder (client to us) and encoder (us to next
 * hop). Only CR LF . CR LF ends a message, but of clients that are named for it
 * (SMTP_BARE_ENDS); a bare CR or LF never goes on as it came (CVE-2023-51764
 * and its siblings). What the encoder writes is clean
 * whatever it was given.
 */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include "base/buf.h"

enum smtp_bare_newline {
	SMTP_BARE_REJECT,    /* the message is refused after its true end */
	SMTP_BARE_NORMALIZE, /* becomes CR LF */
	SMTP_BARE_ALLOW,     /* listed clients: passed on as CR LF too, but a
				lone "." line between bare LFs stays text */
	SMTP_BARE_ENDS,      /* the same, but a text whose first line ends in a
				bare LF ends so as well: LF . LF */
};

struct smtp_data_limits {
	/* 0 in any of these: no limit. */
	uint64_t size_max;     /* bytes of the message */
	uint32_t line_max;     /* bytes of one line, without CR LF */
	uint32_t header_max;   /* bytes of the header block */
	uint32_t received_max; /* Received: lines */
	enum smtp_bare_newline bare_newline;
};

enum smtp_data_fault { /* first that was met */
	SMTP_DATA_OK,
	SMTP_DATA_BARE_NEWLINE,   /* 550 5.5.2 */
	SMTP_DATA_TOO_BIG,        /* 552 5.3.4 */
	SMTP_DATA_LINE_TOO_LONG,  /* 554 5.6.0 */
	SMTP_DATA_HEADER_TOO_BIG, /* 552 5.3.4 */
	SMTP_DATA_LOOP,           /* 554 5.4.6 */
};

#define SMTP_SUBJECT_MAX 256 /* bytes kept of the Subject */
#define SMTP_MSGID_MAX 320   /* and of the Message-ID */

struct smtp_decoder { /* embedded for memory's sake; size and fault may be
			 read, the rest is data.c's own */
	const struct smtp_data_limits *limits;
	enum smtp_data_fault fault;
	uint64_t size; /* decoded bytes so far */
	uint32_t line, header, received;
	uint8_t state;
	uint8_t field; /* where in a header line */
	bool in_header, ended, subject_seen;
	struct buf *keeping; /* the value in hand goes there; NULL: nowhere */
	bool newline_seen, lf_lines; /* the first line end was a bare LF */
	bool chunked; /* BDAT: a dot is a dot, and smtp_decode_end ends it */
	uint8_t name_len;
	bool id_seen;  /* there is a Message-ID field */
	char name[11]; /* start of the header line, to know Received:,
			  Subject: and Message-ID: */
	/* Values of Subject: and Message-ID:, unfolded, bounded, raw. */
	struct buf subject, message_id;
};

void smtp_decoder_init(
    struct smtp_decoder *d, const struct smtp_data_limits *limits);
void smtp_decoder_clear(struct smtp_decoder *d);
/*
 * Decodes from *in, calling sink with runs of message text (dots unstuffed,
 * every line ends in CR LF). Returns true when the end of the message was
 * met; *in is then what follows it. A dot at the start of a line is the first
 * byte of its run, see smtp_encode_decoded. After a fault the rest is still
 * consumed up to the end, without calls to sink, so that the session stays in
 * step. Long runs are handed over uncopied.
 */
bool smtp_decode(struct smtp_decoder *d, struct str *in,
    void (*sink)(void *arg, struct str chunk), void *arg);
/*
 * The same for text that comes in chunks (BDAT, RFC 3030): no dot is special,
 * smtp_decode takes everything and never returns true. The rule for bare CR
 * and LF is that of DATA, so that the text may go on by DATA as well.
 */
void smtp_decoder_init_chunked(
    struct smtp_decoder *d, const struct smtp_data_limits *limits);
/* The last octet has come: a CR that is still open was bare. */
void smtp_decode_end(struct smtp_decoder *d,
    void (*sink)(void *arg, struct str chunk), void *arg);

struct smtp_encoder {
	uint8_t state;
	bool chunked;
};

void smtp_encoder_init(struct smtp_encoder *e);
/* For BDAT: dots stay, smtp_encode_end writes none and ends no line. */
void smtp_encoder_init_chunked(struct smtp_encoder *e);
/* Dot-stuffs text into sink. Bare CR or LF become CR LF. */
void smtp_encode(struct smtp_encoder *e, struct str in,
    void (*sink)(void *arg, struct str chunk), void *arg);
/*
 * The same for a chunk that smtp_decode gave its sink, or the rest of one: it
 * holds no bare CR or LF, and a dot at the start of a line only as its first
 * byte, so nothing is searched. Not from a decoder for chunks (BDAT), which
 * leaves dots where they are.
 */
void smtp_encode_decoded(struct smtp_encoder *e, struct str in,
    void (*sink)(void *arg, struct str chunk), void *arg);
/* Ends an unfinished line and writes the final dot. */
void smtp_encode_end(struct smtp_encoder *e,
    void (*sink)(void *arg, struct str chunk), void *arg);

#endif
