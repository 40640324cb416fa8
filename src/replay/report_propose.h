/* SPDX-License-Identifier: BSD-3-Clause */
/* The proposal, for who is to use it. The text is a part of weir.conf as it
 * is; all that is said about it stands in comments. */
#ifndef REPLAY_REPORT_PROPOSE_H
#define REPLAY_REPORT_PROPOSE_H

#include "replay/propose_log.h"

#include <stdio.h>

/* config: what the policy was compared with; NULL: the defaults. False: it
 * could not be written. */
MUST_CHECK bool report_propose_text(
    const struct propose_log *p, const char *config, FILE *out);
MUST_CHECK bool report_propose_json(
    const struct propose_log *p, const char *config, FILE *out);
/* A row for each policy that was tried. */
MUST_CHECK bool report_propose_csv(const struct propose_log *p, FILE *out);
MUST_CHECK bool report_propose_html(
    const struct propose_log *p, const char *config, FILE *out);

#endif
