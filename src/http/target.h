/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request's target taken apart: the segments of its path and the parameters
 * of its query (RFC 3986, and "+" for a blank as forms send it). Decoded once,
 * after it was cut, so that "%2F" is part of a name and never a slash. Without
 * I/O. Any thread, one owner.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/str.h"

#define HTTP_SEGMENTS_MAX 16
#define HTTP_PARAMETERS_MAX 32
#define HTTP_TARGET_MAX 8192 /* bytes; more is 414 */

struct http_parameter {
	struct str name, value; /* each terminated, valid UTF-8 */
};

struct http_target {
	struct str segments[HTTP_SEGMENTS_MAX]; /* each terminated */
	size_t segment_count;                   /* "/" has none */
	bool is_folder;                         /* it ends in a slash */
	struct http_parameter parameters[HTTP_PARAMETERS_MAX];
	size_t parameter_count;
	char *mem; /* what the slices lie in */
};

/* False: why, one sentence. "." and ".." as segments, empty segments, control
 * characters, backslashes that are not encoded, bad percent-encoding and bytes
 * that are no UTF-8 are refused. Clear it in either case. */
MUST_CHECK bool http_target_parse(
    struct str target, struct http_target *out, const char **why);
void http_target_clear(struct http_target *t);

/* The value of the only parameter of that name; NULL: there is none, or more
 * than one. */
const struct str *http_target_parameter(
    const struct http_target *t, const char *name);

#endif
