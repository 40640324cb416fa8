/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a freeze as another relay wrote it. What is taken keeps to the
 * bounds and is written again as it was.
 */
#include "share/freeze_record.h"
#include "share/freezes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	struct freeze_record r;
	struct buf out;

	if (!freeze_record_read(in, &r))
		return 0;
	if (r.sender.n == 0 || r.sender.n > FREEZES_SENDER_MAX ||
	    r.relay.n > FREEZES_TEXT_MAX || r.who.n > FREEZES_TEXT_MAX ||
	    r.why.n > FREEZES_TEXT_MAX || r.then > FREEZES_DISCARD)
		panic("past a bound");
	buf_init(&out, FREEZE_RECORD_MAX);
	if (!freeze_record_write(&r, &out) || !str_eq(buf_str(&out), in))
		panic("what was read is not written again");
	buf_clear(&out);
	return 0;
}
