/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Seeds of a fuzz target, and inputs made from them. The same seeds and the
 * same dictionary give the same inputs in the same order, on every machine.
 */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_INPUT_MAX 4096 /* bytes */

struct fuzz_blob {
	char *name; /* of its file; NULL: a word of the dictionary */
	uint8_t *p;
	size_t n;
};

struct fuzz_blobs {
	struct fuzz_blob *v;
	size_t n;
};

struct fuzz_mutator {
	struct fuzz_blobs seeds, words;
	uint64_t random;
};

/* The whole file, or false with errno set. The caller clears it. */
bool fuzz_read_file(const char *path, struct fuzz_blob *out);

/* Every file of a directory, by name; false where there is none. */
bool fuzz_read_corpus(const char *dir, struct fuzz_blobs *out);

/* A dictionary in libFuzzer's format; false where a line of it is wrong or
 * there is no such file. */
bool fuzz_read_words(const char *path, struct fuzz_blobs *out);

void fuzz_blobs_clear(struct fuzz_blobs *b);

/* The next input: one seed, changed in a few places. Writes at most
 * FUZZ_INPUT_MAX bytes to out and returns how many. */
size_t fuzz_mutate(struct fuzz_mutator *m, uint8_t *out);

#endif
