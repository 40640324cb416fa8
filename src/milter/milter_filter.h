/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What libmilter calls: translation between the MTA's words and the questions
 * to the loop. The callbacks run in libmilter's threads.
 */
#ifndef MILTER_MILTER_FILTER_H
#define MILTER_MILTER_FILTER_H

#include "milter/milter_txn.h"
#include "net/places.h"

#include <stdatomic.h>

struct milter_filter {
	struct milter_desk *desk; /* borrowed */
	atomic_uint open;         /* connections of the MTA */
	atomic_bool expects_own;  /* report who connects */
	struct places *places;    /* of them, by the MTA's client */
	_Atomic int64_t full_due; /* the next line about one too many */
};

/* Names the callbacks and the address (libmilter's words) to libmilter. */
MUST_CHECK bool milter_filter_register(char *address);
/* Whom the callbacks serve; before libmilter's threads start. NULL: nobody, and
 * none of them runs any more. */
void milter_filter_set(struct milter_filter *f);

#endif
