/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a freeze, what a sender spent, a card and a letter, as another
 * relay wrote it. What is taken keeps to the bounds and is written again as it
 * was.
 */
#include "share/freeze_record.h"
#include "share/freezes.h"
#include "share/learns.h"
#include "share/letter.h"
#include "share/spends.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_spend(struct str in)
{
	struct spend v;
	struct buf out;

	if (!spend_read(in, &v))
		return;
	if (v.recipients > SPENDS_COUNT_MAX || v.messages > SPENDS_COUNT_MAX)
		panic("past a bound");
	buf_init(&out, FREEZE_RECORD_MAX);
	if (!spend_write(&v, &out) || !str_eq(buf_str(&out), in))
		panic("what was read is not written again");
	buf_clear(&out);
}

static void
read_learnt(struct str in)
{
	struct learns_record r;
	struct buf out;

	if (!learns_read(in, &r))
		return;
	buf_init(&out, FREEZE_RECORD_MAX);
	if (r.sender.n > LEARNS_SENDER_MAX || !learns_write(&r, &out) ||
	    !str_eq(buf_str(&out), in))
		panic("what was learnt is not written again");
	buf_clear(&out);
}

static void
read_letter(struct str in)
{
	struct letter l;
	struct card c;
	struct buf out;

	buf_init(&out, LETTER_PLAIN_MAX);
	if (card_read(in, &c) &&
	    (!card_write(&c, &out) || !str_eq(buf_str(&out), in)))
		panic("a card is not written again");
	buf_reset(&out);
	if (letter_read(in, &l) &&
	    (l.from.n > LETTER_NAME_MAX || l.text.n > LETTER_TEXT_MAX ||
		!letter_write(&l, &out) || !str_eq(buf_str(&out), in)))
		panic("a letter is not written again");
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	struct freeze_record r;
	struct buf out;

	read_spend(in);
	read_letter(in);
	read_learnt(in);
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
