/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readies a configuration text for libconfuse, which counts the lines of a
 * comment twice, takes none between `=` and its value, and drops characters
 * that it does not know. Internal to os/options.
 */
#ifndef OS_OPTIONS_SCAN_H
#define OS_OPTIONS_SCAN_H

#include "base/str.h"

struct options_scan {
	char *text;        /* comments are blanks; terminated */
	unsigned *opening; /* line of each section's brace, in order */
	size_t opening_n;
	unsigned line;   /* of the error */
	const char *why; /* the error, NULL: none */
};

/* False: line and why tell. Clear it in either case. */
MUST_CHECK bool options_scan(struct options_scan *scan, struct str text);
void options_scan_clear(struct options_scan *scan);

#endif
