/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request to weir-maild, from its line of JSON: the shared parser over the
 * table of mail commands.
 */
#ifndef MAILD_CONTROL_REQUEST_H
#define MAILD_CONTROL_REQUEST_H

#include "control/request.h"

/* The table; name NULL at the end. */
extern const struct control_command control_commands[];

/* False: what is wrong with it, in err. Clear the request in either case. */
MUST_CHECK bool control_request_parse(
    struct str line, struct control_request *out, char *err, size_t cap);

#endif
