/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Seeds and dictionaries from disk. Both come with the source: what is wrong
 * with them is an error, never skipped.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "mutate.h"

#define LINE_BYTES 512

static void
add(struct fuzz_blobs *b, struct fuzz_blob blob)
{
	b->v = xrealloc(b->v, (b->n + 1) * sizeof(*b->v));
	b->v[b->n++] = blob;
}

void
fuzz_blobs_clear(struct fuzz_blobs *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].name);
		free(b->v[i].p);
	}
	free(b->v);
	*b = (struct fuzz_blobs){0};
}

bool
fuzz_read_file(const char *path, struct fuzz_blob *out)
{
	FILE *f = fopen(path, "rb");
	size_t got;
	bool ok;

	*out = (struct fuzz_blob){0};
	if (f == NULL)
		return false;
	do {
		out->p = xrealloc(out->p, out->n + 4096);
		got = fread(out->p + out->n, 1, 4096, f);
		out->n += got;
	} while (got > 0);
	ok = !ferror(f);
	fclose(f);
	if (ok)
		out->name = xstrdup(path);
	else
		free(out->p);
	return ok;
}

static int
is_seed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In the same order on every file system, whatever the locale. */
static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

bool
fuzz_read_corpus(const char *dir, struct fuzz_blobs *out)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, is_seed, by_name);
	bool ok = n > 0;

	for (int i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", dir, entries[i]->d_name);
		struct fuzz_blob seed;

		if (fuzz_read_file(path, &seed))
			add(out, seed);
		else
			ok = false;
		free(path);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return ok;
}

static bool
unescape(const char **p, uint8_t *out)
{
	char hex[3] = {0};

	if (**p != '\\') {
		*out = (uint8_t) * (*p)++;
		return true;
	}
	(*p)++;
	if (**p == '\\' || **p == '"') {
		*out = (uint8_t) * (*p)++;
		return true;
	}
	if (**p != 'x' || !isxdigit((unsigned char)(*p)[1]) ||
	    !isxdigit((unsigned char)(*p)[2]))
		return false;
	memcpy(hex, *p + 1, 2);
	*out = (uint8_t)strtoul(hex, NULL, 16);
	*p += 3;
	return true;
}

/* name="word" or "word"; \\ \" \xNN stand for a byte. */
static bool
parse_word(const char *line, struct fuzz_blob *word)
{
	const char *p = strchr(line, '"');

	*word = (struct fuzz_blob){.p = xmalloc(LINE_BYTES)};
	if (p != NULL) {
		p++;
		while (*p != '\0' && *p != '\n' && *p != '"')
			if (!unescape(&p, &word->p[word->n++]))
				break;
		if (*p == '"' && word->n > 0)
			return true;
	}
	free(word->p);
	return false;
}

bool
fuzz_read_words(const char *path, struct fuzz_blobs *out)
{
	FILE *f = fopen(path, "r");
	char line[LINE_BYTES];
	bool ok = f != NULL;

	while (ok && fgets(line, sizeof(line), f) != NULL) {
		struct fuzz_blob word;

		if (line[0] == '#' || line[strspn(line, " \t\n")] == '\0')
			continue;
		ok = parse_word(line, &word);
		if (ok)
			add(out, word);
		else
			fprintf(stderr, "%s: not a word: %s", path, line);
	}
	if (f != NULL)
		fclose(f);
	return ok;
}
