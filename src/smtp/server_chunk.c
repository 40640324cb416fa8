/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BDAT (RFC 3030). The octets that a chunk announces are never read as
 * commands: whatever is wrong with the chunk, they are taken first and the
 * reply comes after them. Only a BDAT that does not say how many there are
 * ends the session.
 *
 * The text passes the decoder of DATA without its dots, so that limits and the
 * rule for bare CR and LF are the same. A fault refuses the message at the end
 * of the chunk that holds it; further chunks are taken and answered with 503.
 */
#include "smtp/server_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void
smtp_server_chunk_clear(struct smtp_server *s)
{
	free(s->chunk.text);
	s->chunk = (struct smtp_chunk){0};
}

static void
refuse(struct smtp_server *s, enum smtp_chunk_refusal refusal,
    const struct smtp_reply *r)
{
	struct smtp_chunk *k = &s->chunk;

	k->refusal = refusal;
	k->code = r->code;
	str_copy(str_from(r->enhanced), k->enhanced, sizeof(k->enhanced));
	k->text = str_dup(str_sub(r->text, 0, SMTP_REPLY_TEXT_MAX));
}

static void
answer_refused(struct smtp_server *s)
{
	/* The text moves out: a fault may end the session. */
	struct smtp_chunk k = s->chunk;

	s->chunk = (struct smtp_chunk){0};
	switch (k.refusal) {
	case SMTP_CHUNK_GOOD:
	case SMTP_CHUNK_OWNER:
		smtp_server_say(s, k.code, k.enhanced, k.text);
		break;
	case SMTP_CHUNK_FAULT:
		smtp_server_fault(s, k.code, k.enhanced, k.text);
		break;
	case SMTP_CHUNK_IN_VAIN:
		smtp_server_in_vain(s, k.code, k.enhanced, k.text);
		break;
	}
	free(k.text);
}

/* All octets have come. */
static void
chunk_done(struct smtp_server *s)
{
	struct smtp_chunk *k = &s->chunk;
	char text[64];

	if (k->refusal != SMTP_CHUNK_GOOD) {
		answer_refused(s);
		return;
	}
	k->open = false;
	if (k->last)
		smtp_decode_end(&s->decoder, smtp_server_on_text, s);
	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	if (!k->last && s->decoder.fault == SMTP_DATA_OK) {
		snprintf(
		    text, sizeof(text), "%" PRIu64 " octets received", k->size);
		smtp_server_say(s, 250, "2.0.0", text);
		return;
	}
	smtp_server_await_nothing(s);
	smtp_server_ask(s, SMTP_ASK_END);
	s->ops->on_end(s->arg, s->decoder.fault);
}

/* NULL: a chunk may come now. */
static const char *
wrong_order(const struct smtp_server *s, enum smtp_chunk_refusal *refusal)
{
	*refusal = SMTP_CHUNK_FAULT;
	if (s->phase == SMTP_PHASE_GREETED)
		return "send EHLO or HELO first";
	if (s->phase == SMTP_PHASE_MAIL) {
		*refusal = SMTP_CHUNK_IN_VAIN;
		return "no valid recipients";
	}
	if (s->phase == SMTP_PHASE_READY && !s->mail_refused &&
	    !s->text_refused)
		return "send MAIL first";
	if (s->phase == SMTP_PHASE_READY) {
		*refusal = SMTP_CHUNK_IN_VAIN;
		return s->mail_refused ? "the sender was refused"
				       : "the message was refused";
	}
	return NULL;
}

static void
check_order(struct smtp_server *s)
{
	enum smtp_chunk_refusal refusal;
	const char *why = wrong_order(s, &refusal);
	struct smtp_reply r =
	    smtp_reply_make(s->phase == SMTP_PHASE_MAIL ? 554 : 503, "5.5.1",
		why != NULL ? why : "");

	if (s->tls == SMTP_SERVER_TLS_REQUIRE) {
		r = smtp_reply_make(
		    530, "5.7.0", "must issue a STARTTLS command first");
		refusal = SMTP_CHUNK_FAULT;
	} else if (!(s->caps.ext & SMTP_EXT_CHUNKING)) {
		r = smtp_reply_make(502, "5.5.1", "command not offered");
		refusal = SMTP_CHUNK_FAULT;
	} else if (why == NULL) {
		return;
	}
	refuse(s, refusal, &r);
}

void
smtp_server_bdat(struct smtp_server *s, struct str args)
{
	struct smtp_chunk *k = &s->chunk;
	struct str number = str_cut(&args, ' ');
	struct str rest = str_trim(args);

	smtp_server_chunk_clear(s);
	if (!str_to_u64(number, &k->size) ||
	    (rest.n > 0 && !str_ieq(rest, STR("LAST")))) {
		/* How much is text now, and where do commands go on? */
		smtp_server_end(s, SMTP_SERVER_PROTOCOL, 501, "5.5.4",
		    "syntax: BDAT octets [LAST]");
		return;
	}
	if (k->size == 0 && rest.n == 0 && !smtp_server_count_idle(s))
		return;
	k->left = k->size;
	k->last = rest.n > 0;
	k->open = true;
	check_order(s);
	if (k->refusal == SMTP_CHUNK_GOOD && s->phase == SMTP_PHASE_RCPT) {
		smtp_server_ask(s, SMTP_ASK_DATA);
		s->ops->on_data(s->arg);
		return;
	}
	smtp_server_await_data(s);
	if (k->left == 0)
		chunk_done(s);
}

void
smtp_server_chunk_go(struct smtp_server *s)
{
	smtp_decoder_clear(&s->decoder);
	smtp_decoder_init_chunked(&s->decoder, &s->limits->data);
	smtp_server_set_phase(s, SMTP_PHASE_CHUNKS);
	smtp_server_await_data(s);
	if (s->chunk.left == 0)
		chunk_done(s);
}

void
smtp_server_chunk_refused(struct smtp_server *s, const struct smtp_reply *r)
{
	refuse(s, SMTP_CHUNK_OWNER, r);
	/* The next chunk must not become the first of a message. */
	if (!smtp_server_forget(s))
		return;
	s->text_refused = true;
	smtp_server_await_data(s);
	if (s->chunk.left == 0)
		chunk_done(s);
}

void
smtp_server_feed_chunk(struct smtp_server *s, struct str *in)
{
	struct smtp_chunk *k = &s->chunk;
	size_t n = k->left < in->n ? (size_t)k->left : in->n;
	struct str text = str_sub(*in, 0, n);

	k->left -= n;
	*in = str_sub(*in, n, in->n);
	if (k->refusal == SMTP_CHUNK_GOOD)
		(void)smtp_decode(&s->decoder, &text, smtp_server_on_text, s);
	/* The owner may have ended the session when it was given text. */
	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	smtp_server_data_came(s, n);
	if (k->left == 0)
		chunk_done(s);
}
