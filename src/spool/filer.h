/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread for body files. Works through ops in order; a struct body_file
 * belongs to it from the first op that carries it on.
 */
#ifndef SPOOL_FILER_H
#define SPOOL_FILER_H

#include "spool/core.h"

struct body_file {
	uint64_t id;
	int fd; /* -1: not open */
	int error;
	uint64_t size;
};

struct body_file *filer_file_new(uint64_t id);
MUST_CHECK int filer_start(struct spool *s); /* 0 or errno */
void filer_put(struct filer *f, struct op *op);
/* Any thread: unlinks a message's body file, without a completion. */
void filer_remove(struct filer *f, uint64_t id);
/* Does what is queued. */
void filer_stop(struct filer *f);

/* For the ops' file functions, filer's thread. */
int filer_write(
    struct filer *f, struct body_file *file, const void *p, size_t n);
/* fsync and rename; the directory is synced for several at once before they
 * go to the writer. Frees the struct. */
int filer_seal(struct filer *f, struct body_file *file);
/* Closes and unlinks, frees the struct. */
void filer_abort(struct filer *f, struct body_file *file);

#endif
