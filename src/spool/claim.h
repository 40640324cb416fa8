/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SPOOL_CLAIM_H
#define SPOOL_CLAIM_H

#include "spool/core.h"

void claim_free_weights(struct spool *s);

#endif
