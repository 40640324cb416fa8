/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files of the dashboard's page, gzipped. They hold no data: what they show
 * they ask for over the API. page-pack (pack.c) makes the table from the files
 * beside this one when weir is built. Any thread.
 */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H

#include <stddef.h>

struct page_file {
	const char *path; /* "/main.js"; the first screen is "/" */
	const char *type; /* "text/javascript; charset=utf-8" */
	const char *etag; /* in double quotes, of the bytes */
	const unsigned char *gz;
	size_t gz_size;
};

/* path NULL at the end. */
extern const struct page_file page_files[];

/* NULL: there is no such file. */
const struct page_file *page_find(const char *path);

#endif
