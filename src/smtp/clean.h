/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of a text needs no work: whole lines that end in CR LF, hold no CR
 * or LF else, and do not begin with a dot. Most of every message is that, and
 * a few vector instructions tell it for 64 bytes at once. Any thread.
 */
#ifndef SMTP_CLEAN_H
#define SMTP_CLEAN_H

#include "base/str.h"

/* Length of the clean lines at the start of text, which is at the start of a
 * line. Never too much; too little at the end, by less than a block and a
 * line. */
size_t smtp_clean_lines(struct str text);

#endif
