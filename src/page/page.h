/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files of the dashboard's page, gzipped. They hold no data: what they show
 * they ask for over the API. page-pack (pack.c) makes the table from the files
 * beside this one when weir is built. Event loop's thread.
 */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H

#include "base/base.h"

struct page_file {
	const char *path; /* "/main.js"; the first screen is "/" */
	const char *type; /* "text/javascript; charset=utf-8" */
	const char *etag; /* in double quotes, of the bytes */
	const unsigned char *gz;
	size_t gz_size;
};

/* What is built in; path NULL at the end. */
extern const struct page_file page_files[];

struct page;

/* dir NULL: the files that are built in. Else those of the same names in dir,
 * read anew for each request, which blocks: for work on the page alone. dir is
 * borrowed. */
struct page *page_new(const char *dir);
void page_free(struct page *p); /* takes NULL */
/* NULL: there is no such file. Valid until the next call. */
const struct page_file *page_find(struct page *p, const char *path);

#endif
