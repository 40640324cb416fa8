/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The chapter LIMITS of weir.conf(5): what happens at each cap, beside the
 * default that the table of options has for it.
 */
#ifndef MAILD_LIMITS_DOC_H
#define MAILD_LIMITS_DOC_H

#include "os/options.h"

/* Lists of mdoc(7). False: out is full. A cap that is no option of schema is a
 * panic. */
MUST_CHECK bool limits_print_mdoc(
    const struct option_schema *schema, struct buf *out);
bool limits_has(const char *option); /* the chapter speaks of it */

#endif
