/* SPDX-License-Identifier: BSD-3-Clause */
/* See dated.h. */
#include "gate/dated.h"

#include "base/bytes.h"

size_t
dated_save(const struct dated *v, size_t n, int64_t now, unsigned char *out)
{
	unsigned char *p = out;

	bytes_put(&p, n, 1);
	for (size_t i = 0; i < n; i++) {
		int64_t age = now > v[i].at ? (now - v[i].at) / 1000 : 0;

		bytes_put(&p, v[i].value, 8);
		bytes_put(&p, age < UINT32_MAX ? (uint64_t)age : UINT32_MAX, 4);
	}
	return (size_t)(p - out);
}

bool
dated_load(struct dated *v, size_t max, uint32_t *count, const unsigned char *p,
    size_t n, int64_t then)
{
	if (n < 1)
		return false;
	*count = (uint32_t)bytes_get(&p, 1);
	if (*count > max || n != DATED_STATE_MAX((size_t)*count))
		return false;
	for (uint32_t i = 0; i < *count; i++) {
		v[i].value = bytes_get(&p, 8);
		v[i].at = then - (int64_t)bytes_get(&p, 4) * 1000;
	}
	return true;
}
