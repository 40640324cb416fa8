/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: decode, encode, decode. The first byte chooses limits, the
 * second how the input is cut. Results do not depend on the cut, decoded text
 * is clean, what the encoder makes of it decodes to the same, also where it is
 * not searched as it comes from the decoder, and what the encoder makes of raw
 * input is one clean message.
 */
#include "smtp/data.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	struct buf text;
	struct buf relayed; /* each chunk of the text as it came, encoded */
	struct smtp_encoder relay;
	enum smtp_data_fault fault;
	bool ended;
	size_t taken;
};

static void
on_chunk(void *arg, struct str chunk)
{
	if (!buf_append_str(arg, chunk))
		panic("text grew without bound");
}

static void
on_decoded(void *arg, struct str chunk)
{
	struct outcome *o = arg;

	on_chunk(&o->text, chunk);
	smtp_encode_decoded(&o->relay, chunk, on_chunk, &o->relayed);
}

static void
clear(struct outcome *o)
{
	buf_clear(&o->text);
	buf_clear(&o->relayed);
}

static struct outcome
decode(const struct smtp_data_limits *limits, struct str in, size_t step)
{
	struct outcome o = {.fault = SMTP_DATA_OK};
	struct smtp_decoder d;

	buf_init(&o.text, SIZE_MAX / 4);
	buf_init(&o.relayed, SIZE_MAX / 4);
	smtp_encoder_init(&o.relay);
	smtp_decoder_init(&d, limits);
	while (!o.ended && o.taken < in.n) {
		struct str part = str_sub(in, o.taken, step);
		size_t n = part.n;

		o.ended = smtp_decode(&d, &part, on_decoded, &o);
		o.taken += n - part.n;
	}
	o.fault = d.fault;
	if (d.fault == SMTP_DATA_OK && d.size != o.text.len)
		panic("size");
	if (d.subject.len > SMTP_SUBJECT_MAX)
		panic("subject");
	smtp_decoder_clear(&d);
	smtp_encode_end(&o.relay, on_chunk, &o.relayed);
	return o;
}

static struct buf
encode(struct str in, size_t step)
{
	struct smtp_encoder e;
	struct buf out;

	buf_init(&out, SIZE_MAX / 4);
	smtp_encoder_init(&e);
	while (in.n > 0) {
		smtp_encode(&e, str_sub(in, 0, step), on_chunk, &out);
		in = str_sub(in, step, in.n);
	}
	smtp_encode_end(&e, on_chunk, &out);
	return out;
}

static void
check_clean(struct str text, bool ended)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n' && (i == 0 || text.p[i - 1] != '\r'))
			panic("bare LF");
		if (text.p[i] == '\r' &&
		    (i + 1 == text.n || text.p[i + 1] != '\n'))
			panic("bare CR");
	}
	if (ended && text.n > 0 && text.p[text.n - 1] != '\n')
		panic("text does not end in a newline");
}

/* The only end of the message is the last thing in it. */
static void
check_wire(struct str wire, struct str text)
{
	struct smtp_data_limits strict = {.bare_newline = SMTP_BARE_REJECT};
	struct outcome o = decode(&strict, wire, 7);

	if (!o.ended || o.taken != wire.n || o.fault != SMTP_DATA_OK)
		panic("encoded text is not one clean message");
	if (text.p != NULL && !str_eq(buf_str(&o.text), text))
		panic("encoded text decodes to something else");
	clear(&o);
}

static void
check_relayed(struct outcome *o)
{
	struct buf wire = encode(buf_str(&o->text), SIZE_MAX);

	if (!str_eq(buf_str(&wire), buf_str(&o->relayed)))
		panic("what the decoder let through goes on otherwise");
	buf_clear(&wire);
}

static void
check_encoder(struct str in, struct str text, size_t step)
{
	struct buf whole = encode(in, SIZE_MAX), cut = encode(in, step);

	if (!str_eq(buf_str(&whole), buf_str(&cut)))
		panic("the cut changes the encoding");
	check_wire(buf_str(&whole), text);
	buf_clear(&whole);
	buf_clear(&cut);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_data_limits limits = {0};
	struct outcome whole, cut;
	struct str in;
	size_t step;

	if (size < 3)
		return 0;
	limits.bare_newline = (enum smtp_bare_newline)(data[0] % 3);
	limits.size_max = data[0] & 4 ? 40 : 0;
	limits.line_max = data[0] & 8 ? 20 : 0;
	limits.header_max = data[0] & 16 ? 30 : 0;
	limits.received_max = data[0] & 32 ? 1 : 0;
	step = 1 + data[1] % 16;
	in = (struct str){(const char *)data + 2, size - 2};

	whole = decode(&limits, in, SIZE_MAX);
	cut = decode(&limits, in, step);
	check_relayed(&whole);
	check_relayed(&cut);
	if (whole.ended != cut.ended || whole.fault != cut.fault ||
	    whole.taken != cut.taken)
		panic("the cut changes the outcome");
	if (whole.fault == SMTP_DATA_OK) {
		if (!str_eq(buf_str(&whole.text), buf_str(&cut.text)))
			panic("the cut changes the text");
		check_clean(buf_str(&whole.text), whole.ended);
		if (whole.ended)
			check_encoder(
			    buf_str(&whole.text), buf_str(&whole.text), step);
	}
	check_encoder(in, (struct str){NULL, 0}, step);
	clear(&whole);
	clear(&cut);
	return 0;
}
