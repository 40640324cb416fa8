/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looks at pairs of neighbours, so that one pass finds bare CR, bare LF and
 * dots at the start of a line. The loop over a block has no branch: compilers
 * make vector code of it, and on x86-64 choose the widest at run time.
 */
#include "smtp/clean.h"

#include <string.h>

#define BLOCK 64
#define LARGE 512

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define WIDEST __attribute__((target_clones("avx2", "default")))
#else
#define WIDEST
#endif

/* What clang does at -O2 by itself. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNROLLED __attribute__((optimize("O3")))
#else
#define UNROLLED
#endif

/* Do the n bytes from q + 1 on follow their neighbour before as they may: LF
 * after CR and only there, and no dot after LF? Looks at n + 2 bytes. */
static inline bool
is_clean(const unsigned char *q, size_t n)
{
	unsigned char bad = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char cr = q[i] == '\r', lf = q[i + 1] == '\n';

		bad |= (unsigned char)(cr ^ lf);
		bad |= (unsigned char)(lf & (q[i + 2] == '.'));
	}
	return bad == 0;
}

/* How many bytes from p + 1 on are clean, in blocks. To look whether anything
 * was bad takes as long as 16 bytes do, so that is done seldom. */
WIDEST UNROLLED static size_t
clean_bytes(const char *p, size_t n)
{
	const unsigned char *q = (const unsigned char *)p;
	size_t done = 0;

	while (n - done > LARGE + 1 && is_clean(q + done, LARGE))
		done += LARGE;
	while (n - done > BLOCK + 1 && is_clean(q + done, BLOCK))
		done += BLOCK;
	return done;
}

size_t
smtp_clean_lines(struct str text)
{
	const char *last;
	size_t n;

	if (text.n <= BLOCK || text.p[0] == '.' || text.p[0] == '\n')
		return 0;
	n = clean_bytes(text.p, text.n);
	/* Byte n itself is the last that was looked at; the line it is in may
	 * not be over, and a dot may follow its LF. */
	last = memrchr(text.p, '\n', n);
	return last != NULL ? (size_t)(last - text.p) + 1 : 0;
}
