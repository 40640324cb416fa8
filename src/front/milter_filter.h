/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What libmilter calls: translation between the MTA's words and the questions
 * to the loop. The callbacks run in libmilter's threads.
 */
#ifndef FRONT_MILTER_FILTER_H
#define FRONT_MILTER_FILTER_H

#include "front/milter_txn.h"

#include <stdatomic.h>

struct milter_filter {
	struct milter_desk *desk; /* borrowed */
	atomic_uint open;         /* connections of the MTA */
};

/* Names the callbacks and the address (libmilter's words) to libmilter. */
MUST_CHECK bool milter_filter_register(char *address);
/* Whom the callbacks serve; before libmilter's threads start. NULL: nobody, and
 * none of them runs any more. */
void milter_filter_set(struct milter_filter *f);

#endif
