/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what documents weir.conf; see os/options_doc.h.
 */
#include "maild/maild_config.h"

#include "os/options_doc.h"

int
main(int argc, char **argv)
{
	return options_doc_main(argc, argv, &maild_schema,
	    "# weir.conf: configuration of weir-maild, see weir.conf(5).\n"
	    "# Lines that begin with # show the default, or an example where "
	    "there\n"
	    "# is none. Check a change with: weir-maild -t -c FILE\n\n");
}
