/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The number of the nftables ruleset, which each change of it raises, by
 * whatever program: as long as it is the same nobody took a rule away.
 */
#ifndef NFQ_NFGEN_H
#define NFQ_NFGEN_H

#include "base/base.h"

/* False: this kernel does not tell. Does not block. */
MUST_CHECK bool nfgen_read(uint32_t *generation);

#endif
