/* SPDX-License-Identifier: BSD-3-Clause */
#include "page/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FILE_MAX (1u << 20)
#define PACKED_MAX (FILE_MAX + 4096)
#define GZIP_BITS (15 + 16)

struct page {
	const char *dir;
	struct page_file file; /* the one that was read last */
	char etag[24];
	unsigned char *text, *packed; /* NULL: not needed */
};

struct page *
page_new(const char *dir)
{
	struct page *p = xcalloc(1, sizeof(*p));

	p->dir = dir;
	if (dir != NULL) {
		p->text = xmalloc(FILE_MAX);
		p->packed = xmalloc(PACKED_MAX);
	}
	return p;
}

void
page_free(struct page *p)
{
	if (p == NULL)
		return;
	free(p->text);
	free(p->packed);
	free(p);
}

/* 0: none, or too much. */
static size_t
read_text(const char *dir, const char *path, unsigned char *out)
{
	char name[1024];
	size_t n;
	FILE *in;

	snprintf(name, sizeof(name), "%s%s", dir,
	    strcmp(path, "/") == 0 ? "/index.html" : path);
	in = fopen(name, "rbe");
	if (in == NULL)
		return 0;
	n = fread(out, 1, FILE_MAX, in);
	fclose(in);
	return n < FILE_MAX ? n : 0;
}

static bool
pack(struct page *p, size_t n)
{
	z_stream z = {.next_in = p->text,
	    .avail_in = (uInt)n,
	    .next_out = p->packed,
	    .avail_out = PACKED_MAX};
	bool ok;

	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_BITS, 8,
		Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
	p->file.gz = p->packed;
	p->file.gz_size = z.total_out;
	deflateEnd(&z);
	return ok;
}

static const struct page_file *
read_file(struct page *p, const struct page_file *known)
{
	size_t n = read_text(p->dir, known->path, p->text);

	if (n == 0)
		return NULL;
	p->file = *known;
	snprintf(p->etag, sizeof(p->etag), "\"%08lx%08lx\"",
	    crc32(0, p->text, (uInt)n), adler32(1, p->text, (uInt)n));
	p->file.etag = p->etag;
	return pack(p, n) ? &p->file : NULL;
}

const struct page_file *
page_find(struct page *p, const char *path)
{
	for (const struct page_file *f = page_files; f->path != NULL; f++) {
		if (strcmp(f->path, path) == 0)
			return p->dir != NULL ? read_file(p, f) : f;
	}
	return NULL;
}
