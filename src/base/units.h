/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Durations, sizes and rates as people write them: "90s", "5m", "1h", "2d",
 * "500ms", "1w"; "256K", "50M", "2G"; "100/1h".
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include "base/str.h"

/* A duration needs a unit (but for plain "0"). False: not a duration, or past
 * 100 years. */
MUST_CHECK bool units_parse_duration(struct str s, int64_t *out_ms);
MUST_CHECK bool units_parse_size(struct str s, uint64_t *out_bytes);
MUST_CHECK bool units_parse_rate(
    struct str s, uint32_t *out_count, int64_t *out_window_ms);

#define UNITS_TEXT_MAX 32
/* The two largest units: "2d 3h", "4m 10s", "0s". Returns out. */
const char *units_format_duration(int64_t ms, char out[UNITS_TEXT_MAX]);
const char *units_format_size(uint64_t bytes, char out[UNITS_TEXT_MAX]);
/* RFC 3339 in UTC, to the second; "-" past the years of four digits. */
const char *units_format_time(int64_t wall_ms, char out[UNITS_TEXT_MAX]);
/* What that writes, or a day, which is its beginning: "2026-01-02". */
MUST_CHECK bool units_parse_time(struct str s, int64_t *out_wall_ms);

#endif
