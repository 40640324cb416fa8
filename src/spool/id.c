/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ids as text: 13 letters of Crockford's base 32, the most significant first,
 * so that text sorts as the numbers do.
 */
#include "spool/spool.h"

#include <ctype.h>
#include <string.h>

static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const char *
spool_id_format(uint64_t id, char out[SPOOL_ID_TEXT])
{
	out[SPOOL_ID_TEXT - 1] = '\0';
	for (size_t i = SPOOL_ID_TEXT - 1; i-- > 0; id >>= 5)
		out[i] = letters[id & 31];
	return out;
}

bool
spool_id_parse(struct str s, uint64_t *id)
{
	uint64_t v = 0;

	if (s.n != SPOOL_ID_TEXT - 1)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int c = toupper((unsigned char)s.p[i]);
		const char *at = c != '\0' ? strchr(letters, c) : NULL;

		if (at == NULL || v > (UINT64_MAX >> 5))
			return false;
		v = v << 5 | (uint64_t)(at - letters);
	}
	if (v == 0 || v > INT64_MAX || v != SPOOL_ID(v))
		return false;
	*id = v;
	return true;
}
