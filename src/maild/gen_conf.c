/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what documents weir.conf; see os/options_doc.h. With --limits the
 * lists of its chapter on limits.
 */
#include "maild/limits_doc.h"
#include "maild/maild_config.h"

#include "os/options_doc.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#define OUT_MAX (1u << 20)

static int
print_limits(void)
{
	struct buf out;
	bool ok;

	buf_init(&out, OUT_MAX);
	ok = limits_print_mdoc(&maild_schema, &out) &&
	     fwrite(buf_str(&out).p, 1, out.len, stdout) == out.len &&
	     fflush(stdout) == 0;
	buf_clear(&out);
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--limits") == 0)
		return print_limits();
	return options_doc_main(argc, argv, &maild_schema,
	    "# weir.conf: configuration of weir-maild, see weir.conf(5).\n"
	    "# Lines that begin with # show the default, or an example where "
	    "there\n"
	    "# is none. Check a change with: weir-maild -t -c FILE\n\n");
}
