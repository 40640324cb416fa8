/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what documents a configuration file from its options table: the
 * options of the manual page (--mdoc) or the sample file (--sample). Used by
 * the build alone.
 */
#ifndef OS_OPTIONS_DOC_H
#define OS_OPTIONS_DOC_H

#include "os/options.h"

/* The exit status. sample_head stands above the sample. */
int options_doc_main(int argc, char **argv, const struct option_schema *schema,
    const char *sample_head);

#endif
