/* SPDX-License-Identifier: BSD-3-Clause */
/* See unpack.h. */
#include "config.h"

#include "replay/unpack.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define PIECE (64 * 1024)
#define XZ_MEMORY (256u << 20) /* more than xz -9 needs */
#define MAGIC_MAX 6
#define GZIP_WINDOW (15 + 16) /* the largest, in a gzip frame */

enum kind { UNKNOWN, PLAIN, GZIP, XZ, ZSTD };

struct unpack {
	unpack_fn *fn;
	void *arg;
	enum kind kind;
	char first[MAGIC_MAX]; /* until the kind is known */
	size_t first_n;
	bool is_between; /* one whole part has ended; another may follow */
	lzma_stream xz;
	z_stream gzip;
#ifdef HAVE_ZSTD
	ZSTD_DStream *zstd;
#endif
	unsigned char out[PIECE];
};

struct unpack *
unpack_new(unpack_fn *fn, void *arg)
{
	struct unpack *u = xcalloc(1, sizeof(*u));

	u->fn = fn;
	u->arg = arg;
	u->xz = (lzma_stream)LZMA_STREAM_INIT;
	return u;
}

void
unpack_free(struct unpack *u)
{
	if (u == NULL)
		return;
	lzma_end(&u->xz);
	if (u->kind == GZIP)
		inflateEnd(&u->gzip);
#ifdef HAVE_ZSTD
	ZSTD_freeDStream(u->zstd);
#endif
	free(u);
}

static bool
fail(const char **why, const char *text)
{
	*why = text;
	return false;
}

static bool
hand_on(struct unpack *u, size_t n, const char **why)
{
	*why = NULL;
	return n == 0 || u->fn(u->arg, (struct str){(char *)u->out, n});
}

/* ---- xz ---- */

static bool
fail_xz(lzma_ret rc, const char **why)
{
	switch (rc) {
	case LZMA_MEMLIMIT_ERROR:
	case LZMA_MEM_ERROR:
		return fail(why, "needs more than 256 MiB to decompress; "
				 "compress it with xz -9 or less");
	case LZMA_BUF_ERROR:
		return fail(why, "truncated xz file");
	default:
		return fail(why, "damaged, as xz -t reports too");
	}
}

static bool
push_xz(struct unpack *u, struct str s, bool last, const char **why)
{
	lzma_ret rc;

	u->xz.next_in = (const uint8_t *)s.p;
	u->xz.avail_in = s.n;
	do {
		u->xz.next_out = u->out;
		u->xz.avail_out = PIECE;
		rc = lzma_code(&u->xz, last ? LZMA_FINISH : LZMA_RUN);
		if (rc != LZMA_OK && rc != LZMA_STREAM_END &&
		    (rc != LZMA_BUF_ERROR || last))
			return fail_xz(rc, why);
		if (!hand_on(u, PIECE - u->xz.avail_out, why))
			return false;
	} while (rc != LZMA_STREAM_END &&
		 (u->xz.avail_out == 0 || u->xz.avail_in > 0 ||
		     (last && rc == LZMA_OK)));
	return true;
}

/* ---- gzip ---- */

static bool
push_gzip(struct unpack *u, struct str s, bool last, const char **why)
{
	int rc = Z_OK;

	u->gzip.next_in = (Bytef *)(uintptr_t)s.p;
	u->gzip.avail_in = (uInt)s.n;
	while (u->gzip.avail_in > 0 || u->gzip.avail_out == 0) {
		if (u->is_between) {
			if (u->gzip.avail_in == 0 ||
			    inflateReset(&u->gzip) != Z_OK)
				break;
			u->is_between = false;
		}
		u->gzip.next_out = u->out;
		u->gzip.avail_out = PIECE;
		rc = inflate(&u->gzip, Z_NO_FLUSH);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return fail(why, "damaged, as gzip -t reports too");
		if (!hand_on(u, PIECE - u->gzip.avail_out, why))
			return false;
		u->is_between = rc == Z_STREAM_END;
		if (rc == Z_BUF_ERROR)
			break;
	}
	if (last && !u->is_between)
		return fail(why, "truncated gzip file");
	return true;
}

/* ---- zstd ---- */

#ifdef HAVE_ZSTD
static bool
push_zstd(struct unpack *u, struct str s, bool last, const char **why)
{
	ZSTD_inBuffer in = {s.p, s.n, 0};
	ZSTD_outBuffer out = {u->out, PIECE, 0};

	while (in.pos < in.size || out.pos == out.size) {
		size_t rc;

		out.pos = 0;
		rc = ZSTD_decompressStream(u->zstd, &out, &in);
		if (ZSTD_isError(rc))
			return fail(why, "damaged, as zstd -t reports too");
		if (out.pos > 0 || in.size > 0)
			u->is_between = rc == 0;
		if (!hand_on(u, out.pos, why))
			return false;
		if (rc == 0 && in.pos == in.size)
			break;
	}
	if (last && !u->is_between)
		return fail(why, "truncated zstd file");
	return true;
}
#else
static bool
push_zstd(struct unpack *u, struct str s, bool last, const char **why)
{
	(void)u;
	(void)s;
	(void)last;
	return fail(why,
	    "compressed by zstd, which this weir-replay does not support; "
	    "decompress it first, or give it on standard input");
}
#endif

/* ---- which of them ---- */

static bool
begin(struct unpack *u, const char **why)
{
	struct str s = {u->first, u->first_n};

	u->kind = PLAIN;
	if (str_starts(s, STR("\x1f\x8b"))) {
		if (inflateInit2(&u->gzip, GZIP_WINDOW) != Z_OK)
			return fail(why, "gzip cannot be started");
		u->gzip.avail_out = PIECE;
		u->kind = GZIP;
	} else if (s.n >= 6 && memcmp(s.p,
				   "\xfd"
				   "7zXZ\0",
				   6) == 0) {
		if (lzma_stream_decoder(&u->xz, XZ_MEMORY, LZMA_CONCATENATED) !=
		    LZMA_OK)
			return fail(why, "xz cannot be started");
		u->kind = XZ;
	} else if (str_starts(s, STR("\x28\xb5\x2f\xfd"))) {
#ifdef HAVE_ZSTD
		u->zstd = ZSTD_createDStream();
		if (u->zstd == NULL)
			return fail(why, "zstd cannot be started");
#endif
		u->kind = ZSTD;
	}
	return true;
}

static bool
push_known(struct unpack *u, struct str s, bool last, const char **why)
{
	switch (u->kind) {
	case UNKNOWN:
	case PLAIN:
		*why = NULL;
		return s.n == 0 || u->fn(u->arg, s);
	case GZIP:
		return push_gzip(u, s, last, why);
	case XZ:
		return push_xz(u, s, last, why);
	case ZSTD:
		return push_zstd(u, s, last, why);
	}
	return true;
}

bool
unpack_push(struct unpack *u, struct str piece, bool last, const char **why)
{
	struct str first;

	if (u->kind != UNKNOWN)
		return push_known(u, piece, last, why);
	while (u->first_n < MAGIC_MAX && piece.n > 0) {
		u->first[u->first_n++] = piece.p[0];
		piece = str_sub(piece, 1, piece.n);
	}
	if (u->first_n < MAGIC_MAX && !last)
		return true;
	first = (struct str){u->first, u->first_n};
	return begin(u, why) &&
	       push_known(u, first, last && piece.n == 0, why) &&
	       (piece.n == 0 || push_known(u, piece, last, why));
}
