/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The only place that reads a clock. Event callbacks take `now` once and pass
 * it down. Any thread.
 */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* decides */
int64_t clock_wall_ms(void); /* is stored and shown; since 1970, UTC */
int64_t clock_mono_ns(void); /* benchmarks */

#endif
