/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any line as a request on the control socket: a request that fits the table,
 * or a reason; never a crash, and nothing that a handler would have to check.
 */
#include "maild/control_request.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_request(const struct control_request *r)
{
	const struct control_command *c = r->command;
	unsigned one = r->given & c->needs_one;

	if ((r->given & ~c->takes) != 0 || (c->needs & ~r->given) != 0)
		panic("%s: arguments do not fit", c->name);
	if (c->needs_one != 0 && (one == 0 || (one & (one - 1)) != 0))
		panic("%s: more or less than one selection", c->name);
	if ((r->sender != NULL && strlen(r->sender) > CONTROL_WORD_MAX) ||
	    (r->recipient != NULL && strlen(r->recipient) > CONTROL_WORD_MAX))
		panic("%s: a word is too long", c->name);
	if (r->id_count > CONTROL_IDS_MAX || r->max > CONTROL_ROWS_MAX ||
	    r->older_ms < 0)
		panic("%s: a number is out of bounds", c->name);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request r;
	char err[256] = "";

	if (control_request_parse(
		(struct str){(const char *)data, size}, &r, err, sizeof(err)))
		check_request(&r);
	else if (err[0] == '\0' || !str_is_utf8(str_from(err)) ||
		 str_index(str_from(err), '\n') < strlen(err))
		panic("not a reason: %s", err);
	control_request_clear(&r);
	return 0;
}
