/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Allocation that never returns NULL, and panic. Both end the process with
 * abort(), so that a core file shows the culprit.
 */
#include "config.h"

#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHED_MAX 1024 /* of a thread, by glibc */

void
panic(const char *fmt, ...)
{
	va_list ap;

	fputs("weir: panic: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void *
xmalloc(size_t n)
{
	void *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		panic("out of memory (%zu bytes)", n);
	return p;
}

void *
xcalloc(size_t count, size_t n)
{
	void *p;

	/* glibc's calloc takes nothing from the thread's cache, that free has
	 * filled; what is small comes from there at a fifth of the cost. */
	if (n == 0 || count == 0 ||
	    (count <= CACHED_MAX && n <= CACHED_MAX &&
		count * n <= CACHED_MAX)) {
		p = xmalloc(count * n);
		return memset(p, 0, count * n);
	}
	p = calloc(count, n);
	if (p == NULL)
		panic("out of memory (%zu times %zu bytes)", count, n);
	return p;
}

void *
xrealloc(void *p, size_t n)
{
	void *q = realloc(p, n > 0 ? n : 1);

	if (q == NULL)
		panic("out of memory (%zu bytes)", n);
	return q;
}

char *
xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xmalloc(n), s, n);
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		panic("out of memory, or text too long");
	return text;
}
