/* SPDX-License-Identifier: BSD-3-Clause */
/* See nfset_name.h. */
#include "nfq/nfset_name.h"

#include <linux/netfilter.h>

bool
nfset_parse_name(struct str text, struct nfset_name *out)
{
	struct str rest = str_trim(text), family = str_cut(&rest, ' ');
	struct str table, set;

	rest = str_trim(rest);
	table = str_cut(&rest, ' ');
	set = str_trim(rest);
	if (str_eq(family, STR("inet")))
		out->family = NFPROTO_INET;
	else if (str_eq(family, STR("ip")))
		out->family = NFPROTO_IPV4;
	else if (str_eq(family, STR("ip6")))
		out->family = NFPROTO_IPV6;
	else
		return false;
	if (table.n == 0 || table.n >= NFSET_NAME_MAX || set.n == 0 ||
	    set.n >= NFSET_NAME_MAX || str_index(set, ' ') < set.n)
		return false;
	str_copy(table, out->table, sizeof(out->table));
	str_copy(set, out->set, sizeof(out->set));
	return true;
}
