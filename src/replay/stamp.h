/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The times that log lines begin with. Traditional syslog has neither year nor
 * zone: the year is the last one that puts a file's first line before its
 * newest, and goes on when December is followed by January. Where a zone is
 * missing, times are local, as the C library has them; the hour that comes
 * twice when clocks go back is told by what stood before. Pure but for TZ.
 */
#ifndef REPLAY_STAMP_H
#define REPLAY_STAMP_H

#include "base/str.h"

struct stamp_clock {
	int64_t newest; /* wall ms: no line is much later than this */
	int year;       /* of the last line; 0: none yet */
	int month;      /* of the last line without a year */
	int64_t last;   /* wall ms of the last line; INT64_MIN: none */
	uint64_t back;  /* lines more than an hour before the one above */

	/* What the last hour was to mktime. */
	int64_t hour;
	bool is_second;
	int64_t offset, second_offset; /* ms; second: it comes twice */
};

/* newest: the file's modification time. year: of the first line, 0: by
 * newest. */
void stamp_init(struct stamp_clock *c, int64_t newest, int year);
/* Each takes the time off the front of *s: false, and nothing was taken, where
 * there is none. */
/* "Nov  8 09:05:01" */
MUST_CHECK bool stamp_take_syslog(
    struct stamp_clock *c, struct str *s, int64_t *out);
/* "2026-11-28T19:19:32.123456+01:00", "... 19:19:32,5 +0100", "...Z"; without
 * a zone it is local. */
MUST_CHECK bool stamp_take_iso(
    struct stamp_clock *c, struct str *s, int64_t *out);
/* Counts lines that run backwards; whatever the time came from. */
void stamp_note(struct stamp_clock *c, int64_t at);

#endif
