/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-maild: reads its options, and hands over to maild.c.
 */
#include "maild/maild.h"

#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <sysexits.h>

static const char usage[] =
    "usage: weir-maild [-t] [-c FILE] [--dashboard-dir DIR]\n"
    "       weir-maild -V\n"
    "  -c FILE  configuration (default " WEIR_SYSCONFDIR "/weir/weir.conf)\n"
    "  -t       check the configuration and exit\n"
    "  --dashboard-dir DIR\n"
    "           serve the dashboard's files from DIR, for development\n"
    "  -V       print the version and exit\n";

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"dashboard-dir", required_argument, NULL, 'd'},
	    {"version", no_argument, NULL, 'V'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	const char *file = WEIR_SYSCONFDIR "/weir/weir.conf";
	const char *page_dir = NULL;
	bool check = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			file = optarg;
			break;
		case 'd':
			page_dir = optarg;
			break;
		case 't':
			check = true;
			break;
		case 'V':
			printf("weir-maild %s\n", PACKAGE_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	return check ? maild_check(file) : maild_run(file, page_dir);
}
