/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every file of weir needs: allocation that aborts, panic for our own
 * bugs, and a few macros. Any thread.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) \
	((type *)(void *)((char *)(p)-offsetof(type, member)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN __attribute__((noreturn))

/* Our own bug, never an input or the environment: prints and aborts. */
NORETURN PRINTF_LIKE(1, 2) void panic(const char *fmt, ...);

/* Heap memory, never NULL; allocation failure aborts (style: everything an
 * outsider can make grow has a cap). Release with free(). */
void *xmalloc(size_t n) __attribute__((malloc));
void *xcalloc(size_t count, size_t n) __attribute__((malloc));
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s) __attribute__((malloc));
PRINTF_LIKE(1, 2) char *xasprintf(const char *fmt, ...);

#endif
