/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what documents weir-netd.conf; see os/options_doc.h.
 */
#include "netd/netd_config.h"

#include "os/options_doc.h"

int
main(int argc, char **argv)
{
	return options_doc_main(argc, argv, &netd_schema,
	    "# weir-netd.conf: configuration of weir-netd, see "
	    "weir-netd.conf(5).\n"
	    "# Lines that begin with # show the default, or an example where "
	    "there\n"
	    "# is none. Check a change with: weir-netd -t -c FILE\n\n");
}
