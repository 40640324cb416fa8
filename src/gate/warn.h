/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * warn_at: parts of a limit at which somebody is to hear of it. What was told
 * is a bit per part, kept with whatever is counted; it is told again when the
 * count fell WARN_BACK points below the part in between.
 */
#ifndef GATE_WARN_H
#define GATE_WARN_H

#include "os/options.h"

#define WARN_MARKS_MAX 4
#define WARN_BACK 10
#define WARN_PRESET "{\"80%\", \"95%\"}"

struct warn_marks {
	uint8_t n;
	uint8_t percent[WARN_MARKS_MAX]; /* rising */
};

/* What WARN_PRESET says, for a section that is not in the file. */
extern const struct warn_marks warn_default;

/* For an options table. */
bool warn_check(const char *text, char *err, size_t cap);
/* Texts that passed warn_check. False: what is wrong in err. */
MUST_CHECK bool warn_read(const struct option_strings *texts,
    struct warn_marks *out, char *err, size_t err_cap);
/* The highest part that is newly reached; 0: none. told: the bits. count 0: no
 * limit. */
unsigned warn_look(const struct warn_marks *marks, uint8_t *told, uint32_t used,
    uint32_t count);

#endif
