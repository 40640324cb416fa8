/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What status and senders print, for top as well.
 */
#ifndef CTL_LOOK_H
#define CTL_LOOK_H

#include "ctl/ctl.h"
#include "ctl/table.h"

void look_print_summary(const json_t *status); /* three lines */
void look_senders_init(struct table *t);
void look_add_sender(struct table *t, const json_t *row, int64_t wall_ms);

#endif
