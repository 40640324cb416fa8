/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines that are JSON objects: the journal's (journalctl -o json), and those
 * that Docker wraps around lines of another kind. Pure. */
#ifndef REPLAY_HEAD_JSON_H
#define REPLAY_HEAD_JSON_H

#include "replay/head.h"

struct head_json {
	struct head_line line;
	struct str inner; /* Docker: the line, with a head of its own */
};

/* The texts lie in `texts`. False: not JSON, or of neither kind. */
MUST_CHECK bool head_json_parse(
    struct buf *texts, struct str line, struct head_json *out);

#endif
