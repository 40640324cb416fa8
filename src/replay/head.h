/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands before a log line's own text: a time, the host, the program and
 * its process id, in the ways that syslog, the journal and containers write it.
 * Pure.
 *
 *	Nov 28 19:19:32 mx postfix/qmgr[498]: ...	RFC 3164
 *	2026-11-28T19:19:32.1+00:00 mx smtpd[123]: ...	rsyslog, journalctl
 *	<22>1 2026-11-28T19:19:32Z mx sm-mta 5 - - ...	RFC 5424
 *	2026-11-28 19:23:06.123 +0100 ...		Exim's own
 *	{"MESSAGE": ...}, {"log": ...}			journald, Docker
 *	mail-1  | Nov 28 ...				docker compose
 */
#ifndef REPLAY_HEAD_H
#define REPLAY_HEAD_H

#include "base/buf.h"
#include "replay/stamp.h"

#define HEAD_NO_TIME INT64_MIN

/* Borrowed from the line, or from the head that parsed it. */
struct head_line {
	int64_t at; /* wall ms; HEAD_NO_TIME: the line has none of these */
	struct str host, program, pid, text;
};

struct head {
	struct stamp_clock clock;
	struct buf json; /* texts of the last line in JSON */
};

void head_init(struct head *h, int64_t newest, int year);
void head_clear(struct head *h);
/* False: no time was found; text is then the whole line. */
bool head_parse(struct head *h, struct str line, struct head_line *out);

#endif
