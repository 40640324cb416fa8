/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a message on its way in: in memory while it is small and the
 * budget lasts, else in a file.
 */
#ifndef SPOOL_BODY_H
#define SPOOL_BODY_H

#include "spool/core.h"

struct body_file;

/* Ends the body: its text (for free(); counted in the budget until
 * body_release) or its file, which the filer has to seal. */
struct body_end {
	char *text; /* NULL: in file */
	struct body_file *file;
	uint64_t size;
	bool in_file;
	int error; /* EBUSY: there was no place for its text */
};
void body_take(struct spool_body *b, struct body_end *out);
/* The file of an ended body that is not wanted after all. */
void body_drop_file(struct spool *s, struct body_file *file);
void body_release(struct spool *s, const struct body_end *end);

#endif
