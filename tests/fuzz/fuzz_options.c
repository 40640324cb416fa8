/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any text as a configuration: an error line or a struct that prints and reads
 * back as the same, never a crash.
 */
#include "../options_schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
print_values(const void *conf)
{
	struct buf out;

	buf_init(&out, (size_t)1 << 24);
	if (!options_print_values(&test_schema, conf, &out))
		panic("the values do not fit");
	return buf_take(&out);
}

static void
check_round_trip(const void *conf)
{
	char err[256] = "";
	char *first = print_values(conf), *second;
	void *again;

	/* Printing escapes up to fourfold: it may pass what a file may. */
	if (strlen(first) >= (size_t)1 << 20) {
		free(first);
		return;
	}
	again = options_load(&test_schema, "again", first, err, sizeof(err));
	if (again == NULL)
		panic("%s\n%s", err, first);
	if (options_changed_fixed(&test_schema, conf, again) != NULL)
		panic("a fixed option changed");
	second = print_values(again);
	if (strcmp(first, second) != 0)
		panic("not the same:\n%s\n%s", first, second);
	free(first);
	free(second);
	options_free(&test_schema, again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = str_dup((struct str){(const char *)data, size});
	char err[256] = "";
	void *conf = options_load(&test_schema, "fuzz", text, err, sizeof(err));

	if (conf != NULL)
		check_round_trip(conf);
	else if (strncmp(err, "fuzz:", 5) != 0 || !str_is_utf8(str_from(err)) ||
		 str_index(str_from(err), '\n') < strlen(err))
		panic("not an error line: %s", err);
	options_free(&test_schema, conf);
	free(text);
	return 0;
}
