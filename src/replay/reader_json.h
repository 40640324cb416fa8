/* SPDX-License-Identifier: BSD-3-Clause */
/* What readers of logs that are JSON objects share. Texts are borrowed from the
 * object. Pure. */
#ifndef REPLAY_READER_JSON_H
#define REPLAY_READER_JSON_H

#include "replay/reader.h"

#include <jansson.h>

/* NULL: the line is no object. json_decref. */
json_t *reader_json_parse(struct str line);
/* Empty: it is not there, or no text. */
struct str reader_json_text(const json_t *object, const char *key);
/* A time of seconds under this key. False: there is none. */
bool reader_json_seconds(const json_t *object, const char *key, int64_t *out);
/* The record as a recipient for each of a list, or for the one text. */
void reader_json_recipients(struct reader_record *r, const json_t *list,
    reader_emit_fn *emit, void *arg);

#endif
