/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each counter is called, from the one table in the header.
 */
#include "os/counters.h"

const struct counter_info counter_info[COUNT_MAX] = {
#define COUNTER_INFO(id, name, type, doc) {name, COUNTER_##type, doc},
    COUNTER_TABLE(COUNTER_INFO)
#undef COUNTER_INFO
};
