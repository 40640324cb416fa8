/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page-pack FILE...: writes the table of page.h to standard output, each file
 * gzipped, without a time stamp, so that a build can be repeated. It runs when
 * weir is built and is not installed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FILE_MAX (1u << 20)
#define FILES_MAX 64
#define GZIP_BITS (15 + 16)

struct type {
	const char *ending, *name;
};

static const struct type types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
};

static _Noreturn void
fail(const char *file, const char *why)
{
	fprintf(stderr, "page-pack: %s: %s\n", file, why);
	exit(1);
}

static const char *
type_of(const char *file)
{
	const char *dot = strrchr(file, '.');

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (dot != NULL && strcmp(dot, types[i].ending) == 0)
			return types[i].name;
	}
	fail(file, "no type is known for its ending");
	return NULL;
}

static const char *
base_name(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash != NULL ? slash + 1 : file;
}

static size_t
read_file(const char *file, unsigned char *out)
{
	FILE *in = fopen(file, "rb");
	size_t n;

	if (in == NULL)
		fail(file, "cannot be opened");
	n = fread(out, 1, FILE_MAX, in);
	if (ferror(in) || n == FILE_MAX)
		fail(file, "cannot be read, or is too large");
	fclose(in);
	return n;
}

static size_t
pack(const char *file, unsigned char *in, size_t n, unsigned char *out,
    size_t cap)
{
	z_stream z = {.next_in = in,
	    .avail_in = (uInt)n,
	    .next_out = out,
	    .avail_out = (uInt)cap};

	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_BITS, 9,
		Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		fail(file, "cannot be packed");
	deflateEnd(&z);
	return z.total_out;
}

static void
print_bytes(size_t i, const unsigned char *p, size_t n)
{
	printf("static const unsigned char file_%zu[] = {", i);
	for (size_t k = 0; k < n; k++)
		printf("%s%u,", k % 20 == 0 ? "\n" : "", (unsigned)p[k]);
	printf("\n};\n");
}

int
main(int argc, char **argv)
{
	static unsigned char in[FILE_MAX], out[FILE_MAX + 4096];
	static char row[FILES_MAX][256];

	if (argc < 2 || argc > FILES_MAX) {
		fprintf(stderr, "usage: page-pack FILE... (%d at most)\n",
		    FILES_MAX - 1);
		return 1;
	}
	printf("/* Made by page-pack. */\n#include \"page/page.h\"\n\n");
	for (int i = 1; i < argc; i++) {
		const char *name = base_name(argv[i]);
		size_t n = read_file(argv[i], in);
		size_t packed = pack(argv[i], in, n, out, sizeof(out));

		print_bytes((size_t)i, out, packed);
		snprintf(row[i], sizeof(row[i]),
		    "{\"/%s\", \"%s\", \"\\\"%08lx%08lx\\\"\", file_%d, %zu}",
		    strcmp(name, "index.html") == 0 ? "" : name, type_of(name),
		    crc32(0, in, (uInt)n), adler32(1, in, (uInt)n), i, packed);
	}
	printf("\nconst struct page_file page_files[] = {\n");
	for (int i = 1; i < argc; i++)
		printf("%s,\n", row[i]);
	printf("{0}};\n");
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
