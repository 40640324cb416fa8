/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Warnings about a configuration that is valid, and may not do what its author
 * expects. One function for each; all are called by maild_warn.
 */
#ifndef MAILD_MAILD_WARN_H
#define MAILD_MAILD_WARN_H

#include "maild/maild_config.h"

/* One line with file, line, option and what to write; borrowed for the call. */
typedef void maild_warn_fn(void *arg, const char *text);
void maild_warn(const struct maild_config *c, maild_warn_fn *fn, void *arg);

#endif
