/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-netd: reads its options, and hands over to netd.c.
 */
#include "netd/netd.h"

#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

static const char usage[] =
    "usage: weir-netd [-t] [--install-rules] [-c FILE]\n"
    "       weir-netd --print-rules nft|iptables [-c FILE]\n"
    "       weir-netd --remove-rules [-c FILE]\n"
    "       weir-netd -V\n"
    "  -c FILE          configuration (default " WEIR_SYSCONFDIR
    "/weir/weir-netd.conf)\n"
    "  -t               check the configuration and exit\n"
    "  --print-rules    print the kernel's rules and exit\n"
    "  --install-rules  install them, and remove them on exit\n"
    "  --remove-rules   remove the rules that a killed daemon left behind\n"
    "  -V               print the version and exit\n";

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"print-rules", required_argument, NULL, 'p'},
	    {"install-rules", no_argument, NULL, 'i'},
	    {"remove-rules", no_argument, NULL, 'r'},
	    {"version", no_argument, NULL, 'V'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	const char *file = WEIR_SYSCONFDIR "/weir/weir-netd.conf";
	const char *print = NULL;
	bool check = false, install = false, remove = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			file = optarg;
			break;
		case 't':
			check = true;
			break;
		case 'p':
			print = optarg;
			break;
		case 'i':
			install = true;
			break;
		case 'r':
			remove = true;
			break;
		case 'V':
			printf("weir-netd %s\n", PACKAGE_VERSION);
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
	if (remove)
		return netd_remove_rules(file);
	if (check)
		return netd_check(file);
	return print != NULL ? netd_print_rules(file, print)
			     : netd_run(file, install);
}
