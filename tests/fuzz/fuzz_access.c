/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as the file of tokens and users: it is read whole or refused with a
 * reason, and what was read is written and read again as the same. And as a
 * cursor.
 */
#include "control/access.h"
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
print(const struct access *a)
{
	struct buf out;

	buf_init(&out, 16u << 20);
	if (!access_print(a, &out))
		panic("what was read cannot be written");
	return buf_take(&out);
}

static void
check_again(const struct access *a)
{
	struct access *again = access_new();
	char *once = print(a), *twice, err[256];

	if (!access_read(again, str_from(once), err, sizeof(err)))
		panic("what was written cannot be read: %s", err);
	twice = print(again);
	if (strcmp(once, twice) != 0)
		panic("it changes when it is read again");
	free(once);
	free(twice);
	access_free(again);
}

static void
check_cursor(struct str text)
{
	char again[API_CURSOR_MAX];
	struct control_cursor at, same;

	if (!api_cursor_parse("queue", text, &at))
		return;
	api_cursor_format("queue", at, again);
	if (at.at > INT64_MAX ||
	    !api_cursor_parse("queue", str_from(again), &same) ||
	    same.at != at.at || same.place != at.place)
		panic("a cursor that is another when it is written");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size};
	struct access *a = access_new();
	char err[256] = "";

	if (access_read(a, text, err, sizeof(err)))
		check_again(a);
	else if (err[0] == '\0' || !str_is_utf8(str_from(err)))
		panic("not a reason");
	access_free(a);
	check_cursor(text);
	return 0;
}
