/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/freeze_record.h"

#include "base/bytes.h"
#include "share/freezes.h"

#define VERSION 1
#define HEAD 19 /* version, frozen, then, thaw_at, id */

static bool
put_text(struct buf *out, struct str s, size_t max)
{
	unsigned char n[2], *p = n;

	s = str_sub(s, 0, max);
	bytes_put(&p, s.n, 2);
	return buf_append(out, n, 2) && buf_append_str(out, s);
}

bool
freeze_record_write(const struct freeze_record *r, struct buf *out)
{
	unsigned char head[HEAD], *p = head;

	if (r->sender.n == 0 || r->sender.n > FREEZES_SENDER_MAX)
		return false;
	bytes_put(&p, VERSION, 1);
	bytes_put(&p, r->is_frozen, 1);
	bytes_put(&p, r->then, 1);
	bytes_put(&p, (uint64_t)r->thaw_at, 8);
	bytes_put(&p, r->id, 8);
	return buf_append(out, head, HEAD) &&
	       put_text(out, r->sender, FREEZES_SENDER_MAX) &&
	       put_text(out, r->relay, FREEZES_TEXT_MAX) &&
	       put_text(out, r->who, FREEZES_TEXT_MAX) &&
	       put_text(out, r->why, FREEZES_TEXT_MAX);
}

static bool
get_text(struct str *in, size_t max, struct str *out)
{
	const unsigned char *p = (const unsigned char *)in->p;
	size_t n;

	if (in->n < 2)
		return false;
	n = (size_t)bytes_get(&p, 2);
	*in = str_sub(*in, 2, in->n);
	if (n > max || n > in->n)
		return false;
	*out = str_sub(*in, 0, n);
	*in = str_sub(*in, n, in->n);
	return str_index(*out, '\0') == out->n;
}

bool
freeze_record_read(struct str in, struct freeze_record *out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	uint64_t version, frozen, thaw_at;

	if (in.n < HEAD)
		return false;
	version = bytes_get(&p, 1);
	frozen = bytes_get(&p, 1);
	out->then = (uint8_t)bytes_get(&p, 1);
	thaw_at = bytes_get(&p, 8);
	out->id = bytes_get(&p, 8);
	in = str_sub(in, HEAD, in.n);
	if (version != VERSION || frozen > 1 || out->then > FREEZES_DISCARD ||
	    thaw_at > INT64_MAX / 2)
		return false;
	out->is_frozen = frozen == 1;
	out->thaw_at = (int64_t)thaw_at;
	return get_text(&in, FREEZES_SENDER_MAX, &out->sender) &&
	       get_text(&in, FREEZES_TEXT_MAX, &out->relay) &&
	       get_text(&in, FREEZES_TEXT_MAX, &out->who) &&
	       get_text(&in, FREEZES_TEXT_MAX, &out->why) && in.n == 0 &&
	       out->sender.n > 0;
}
