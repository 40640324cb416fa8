/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is sealed in the server about one sender's freeze: a version, then
 * numbers, then texts behind their lengths. What is read back is hostile.
 */
#ifndef SHARE_FREEZE_RECORD_H
#define SHARE_FREEZE_RECORD_H

#include "base/buf.h"

#define FREEZE_RECORD_MAX 2048

struct freeze_record {
	bool is_frozen;
	uint8_t then;    /* of a thaw: enum freezes_then */
	uint64_t id;     /* of the freeze, or of the one that was ended */
	int64_t thaw_at; /* the server's wall ms; 0: by hand alone */
	struct str sender, relay, who, why;
};

/* Texts that are too long are cut, the sender never: false then. */
MUST_CHECK bool freeze_record_write(
    const struct freeze_record *r, struct buf *out);
/* Texts are borrowed from in. */
MUST_CHECK bool freeze_record_read(struct str in, struct freeze_record *out);

#endif
