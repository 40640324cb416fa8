/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal's export format (journalctl -o export): fields a line each, an
 * empty line behind each entry; a value that is not text comes after its name's
 * line end, with its length before it. Pure: bytes in, entries out.
 */
#ifndef REPLAY_EXPORT_H
#define REPLAY_EXPORT_H

#include "replay/head.h"

#define EXPORT_VALUE_MAX (1u << 20) /* longer ones are left out */

typedef void export_fn(void *arg, const struct head_line *entry);

enum export_field {
	EXPORT_MESSAGE,
	EXPORT_IDENTIFIER,
	EXPORT_HOST,
	EXPORT_SYSLOG_PID,
	EXPORT_PID,
	EXPORT_TIME,
	EXPORT_FIELDS
};

struct export
{
	export_fn *fn;
	void *arg;
	int state;
	struct buf part; /* of a line, or of a value with its length */
	struct buf fields[EXPORT_FIELDS];
	int field;     /* of the value that comes; -1: of no interest */
	uint64_t left; /* bytes of it */
	unsigned length_n;
	bool has_any;
};

/* Such a text begins so. */
bool export_is_it(struct str first);
void export_init(struct export *e, export_fn *fn, void *arg);
void export_clear(struct export *e);
void export_push(struct export *e, struct str piece);
void export_end(struct export *e); /* an entry need not have its empty line */

#endif
