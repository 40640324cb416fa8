/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What needs no daemon: -t, --print-rules and --remove-rules.
 */
#include "netd/netd.h"

#include "netd/apply.h"
#include "netd/netd_config.h"
#include "netd/rules.h"
#include "netd/rules_lock.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int
netd_fail(int status, const char *what)
{
	fprintf(stderr, "weir-netd: %s\n", what);
	return status;
}

int
netd_check(const char *config_file)
{
	char err[512];
	struct netd_config *conf =
	    netd_config_load(config_file, err, sizeof(err));

	if (conf == NULL)
		return netd_fail(EX_CONFIG, err);
	netd_config_free(conf);
	printf("%s: ok\n", config_file);
	return 0;
}

static bool
print_part(
    const struct netd_config *c, enum rules_part part, const char *program)
{
	struct rules_how how = rules_printed_how(c);
	struct str none = {"", 0};
	struct buf text;
	bool ok;

	buf_init(&text, RULES_TEXT_MAX);
	ok = rules_print(c, part, &how, none, &text);
	if (ok && program != NULL)
		printf(
		    "%s <<'END'\n%.*sEND\n", program, STR_ARG(buf_str(&text)));
	else if (ok)
		printf("%.*s", STR_ARG(buf_str(&text)));
	buf_clear(&text);
	return ok;
}

/* The sets first: rules that name one which is not there are refused. */
static bool
print_iptables(const struct netd_config *c)
{
	switch (rules_printed_how(c).fast) {
	case RULES_FAST_NONE:
		break;
	case RULES_FAST_NFT:
		if (!print_part(c, RULES_NFT_SETS, "nft -f -"))
			return false;
		break;
	case RULES_FAST_IPSET:
		if (!print_part(c, RULES_IPSETS, "ipset -exist restore"))
			return false;
		break;
	}
	return print_part(c, RULES_IPTABLES, "iptables-restore --noflush") &&
	       print_part(c, RULES_IP6TABLES, "ip6tables-restore --noflush");
}

int
netd_print_rules(const char *config_file, const char *kind)
{
	char err[512];
	struct netd_config *conf =
	    netd_config_load(config_file, err, sizeof(err));
	int status = 0;

	if (conf == NULL)
		return netd_fail(EX_CONFIG, err);
	if (strcmp(kind, "nft") != 0 && strcmp(kind, "iptables") != 0)
		status =
		    netd_fail(EX_USAGE, "--print-rules: write nft or iptables");
	else if (conf->bridge && strcmp(kind, "nft") == 0)
		status = netd_fail(EX_CONFIG,
		    "--print-rules: bridge needs iptables: nft does not know "
		    "by which port a bridged packet leaves");
	else if (!(strcmp(kind, "nft") == 0 ? print_part(conf, RULES_NFT, NULL)
					    : print_iptables(conf)) ||
		 fflush(stdout) != 0)
		status = EX_IOERR;
	netd_config_free(conf);
	return status;
}

/* A configuration that is wrong or has gone is no reason to keep the rules. */
int
netd_remove_rules(const char *config_file)
{
	char err[512];
	struct netd_config *conf =
	    netd_config_load(config_file, err, sizeof(err));
	struct rules_lock lock;
	bool locked = rules_lock_take(&lock, conf != NULL ? conf->state : NULL,
	    conf != NULL ? conf->user : NULL, err, sizeof(err));
	int status = 0;

	netd_config_free(conf);
	if (!locked)
		return netd_fail(EX_UNAVAILABLE, err);
	if (!apply_remove())
		status = netd_fail(EX_UNAVAILABLE,
		    "rules of weir-netd remain; their removal needs "
		    "CAP_NET_ADMIN, and the programs that made them (nft, "
		    "iptables, ipset)");
	rules_lock_release(&lock);
	return status;
}
