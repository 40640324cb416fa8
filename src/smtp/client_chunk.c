/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages that go out by BDAT (RFC 3030). Text is gathered to chunks of some
 * size, so that many small pieces do not become as many commands; they are
 * pipelined, and a refused one stops the rest.
 *
 * Fails: a refused chunk comes to the owner at the end of its message, after a
 * RSET; a peer that takes the last chunk although it refused one before is not
 * believed, and loses the connection.
 */
#include "smtp/client_private.h"

#include <stdio.h>
#include <stdlib.h>

#define CHUNK_BYTES (32u << 10)

void
client_chunks_clear(struct smtp_client *c)
{
	free(c->chunks.text);
	buf_clear(&c->chunks.buf);
	c->chunks = (struct client_chunks){0};
}

bool
smtp_client_bdat(struct smtp_client *c, int64_t now)
{
	const uint32_t needs = SMTP_EXT_CHUNKING | SMTP_EXT_PIPELINING;

	if ((c->caps.ext & needs) != needs || c->lmtp || c->rcpts_ok == 0 ||
	    c->queue.count > 0 || c->phase != CLIENT_READY || c->doom != NULL)
		return false;
	client_chunks_clear(c);
	buf_init(&c->chunks.buf, CHUNK_BYTES);
	smtp_encoder_init_chunked(&c->encoder);
	c->chunks.on = c->body_open = true;
	client_set_due(c, now);
	return true;
}

/* The queue holds chunks alone, so the command goes out at once. */
static void
send_chunk(struct smtp_client *c, enum client_command_type type, uintptr_t tag,
    struct str text, int64_t now)
{
	char line[48];

	snprintf(line, sizeof(line), "BDAT %zu%s\r\n", text.n,
	    type == CLIENT_END ? " LAST" : "");
	if (!client_queue_text_command(c, type, tag, line, now))
		return;
	if (text.n > 0)
		c->ops->write(c->arg, text.p, text.n);
}

static void
gather(void *arg, struct str text)
{
	struct smtp_client *c = arg;
	struct buf *buf = &c->chunks.buf;
	struct str piece;

	while (text.n > 0 && !c->chunks.failed && c->doom == NULL) {
		if (buf->len == 0 && text.n >= CHUNK_BYTES) {
			send_chunk(c, CLIENT_CHUNK, 0, text, c->chunks.now);
			break;
		}
		piece = str_sub(text, 0, buf_room(buf));
		text = str_sub(text, piece.n, text.n);
		if (!buf_append_str(buf, piece))
			panic("client: a chunk past its room");
		if (buf_room(buf) > 0)
			continue;
		send_chunk(c, CLIENT_CHUNK, 0, buf_str(buf), c->chunks.now);
		buf_reset(buf);
	}
}

void
client_chunk_body(struct smtp_client *c, struct str text, int64_t now)
{
	c->chunks.now = now;
	smtp_encode(&c->encoder, text, gather, c);
	client_set_due(c, now);
}

void
client_chunk_end(struct smtp_client *c, uintptr_t tag, int64_t now)
{
	c->chunks.now = now;
	smtp_encode_end(&c->encoder, gather, c);
	c->body_open = c->tx_open = false;
	if (c->chunks.failed)
		(void)client_queue_text_command(
		    c, CLIENT_CHUNK_RSET, tag, "RSET\r\n", now);
	else
		send_chunk(c, CLIENT_END, tag, buf_str(&c->chunks.buf), now);
	buf_clear(&c->chunks.buf);
}

void
client_chunk_refused(struct smtp_client *c, const struct smtp_reply *reply)
{
	struct client_chunks *k = &c->chunks;

	if (k->failed)
		return;
	k->failed = true;
	k->code = reply->code;
	str_copy(str_from(reply->enhanced), k->enhanced, sizeof(k->enhanced));
	k->text = str_dup(reply->text);
	buf_reset(&k->buf);
}

struct smtp_reply
client_chunk_failure(const struct smtp_client *c)
{
	const struct client_chunks *k = &c->chunks;

	return smtp_reply_make(k->code, k->enhanced, k->text);
}
