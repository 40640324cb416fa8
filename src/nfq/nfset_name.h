/* SPDX-License-Identifier: BSD-3-Clause */
/* The name of an nftables set. Pure. */
#ifndef NFQ_NFSET_NAME_H
#define NFQ_NFSET_NAME_H

#include "base/str.h"

#define NFSET_NAME_MAX 64

struct nfset_name {
	uint8_t family; /* NFPROTO_* */
	char table[NFSET_NAME_MAX], set[NFSET_NAME_MAX];
};

/* "inet filter blocked4". */
MUST_CHECK bool nfset_parse_name(struct str text, struct nfset_name *out);

#endif
