/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any text as weir.conf: a configuration that is valid as a whole and reads
 * back from its own print, or one line that names the file; never a crash.
 */
#include "maild/maild_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_config(const struct maild_config *c)
{
	struct maild_config *again;
	char err[512] = "", *text;
	struct buf out;

	if (c->listen.n == 0 || c->next_hop.n == 0 ||
	    c->gate.policies == NULL || c->hostname == NULL ||
	    c->line_max > UINT32_MAX || c->header_max > UINT32_MAX)
		panic("a configuration that is not whole");
	buf_init(&out, (size_t)1 << 24);
	if (!options_print_values(&maild_schema, c, &out))
		panic("the values do not fit");
	text = buf_take(&out);
	/* Printing escapes up to fourfold: it may pass what a file may. */
	again = strlen(text) < (size_t)1 << 20
		    ? maild_config_parse("again", text, err, sizeof(err))
		    : NULL;
	if (again == NULL && err[0] != '\0')
		panic("%s\n%s", err, text);
	if (again != NULL &&
	    options_changed_fixed(&maild_schema, c, again) != NULL)
		panic("a fixed option changed");
	maild_config_free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = str_dup((struct str){(const char *)data, size});
	char err[512] = "";
	struct maild_config *c =
	    maild_config_parse("fuzz", text, err, sizeof(err));

	if (c != NULL)
		check_config(c);
	else if (strncmp(err, "fuzz:", 5) != 0 ||
		 str_index(str_from(err), '\n') < strlen(err))
		panic("not an error line: %s", err);
	maild_config_free(c);
	free(text);
	return 0;
}
