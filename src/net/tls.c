/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TLS session over a non-blocking descriptor. OpenSSL reads and writes
 * through a BIO of our own: it raises no SIGPIPE, tells the end of the stream
 * apart, and never blocks whatever the descriptor's flags say.
 *
 * An idle session keeps no buffers (SSL_MODE_RELEASE_BUFFERS).
 */
#include "net/tls_private.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Two records of the largest size come with one read. */
#define READ_BYTES ((size_t)2 * (16384 + 256 + 5))

static int
bio_read(BIO *bio, char *p, int n)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t got = recv(t->fd, p, (size_t)n, MSG_DONTWAIT);

	BIO_clear_retry_flags(bio);
	if (got == 0)
		t->eof = true;
	if (got < 0 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)got;
}

static int
bio_write(BIO *bio, const char *p, int n)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t put = send(t->fd, p, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (put < 0 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)put;
}

static long
bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct tls *t = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_EOF)
		return t->eof ? 1 : 0;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *
tls_bio_new(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weir connection");

	if (m == NULL || BIO_meth_set_read(m, bio_read) != 1 ||
	    BIO_meth_set_write(m, bio_write) != 1 ||
	    BIO_meth_set_ctrl(m, bio_ctrl) != 1)
		panic("tls: out of memory");
	return m;
}

bool
tls_ctx_init(SSL_CTX *ctx, char *err, size_t cap)
{
	char why[200];

	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
				  SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* SMTP ends with QUIT and a message with its dot: a stream that ends
	 * without TLS's own goodbye cuts nothing short unseen. */
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BYTES);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1)
		return true;
	snprintf(err, cap, "OpenSSL: %s", tls_library_error(why, sizeof(why)));
	return false;
}

const char *
tls_library_error(char *out, size_t cap)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	/* A system error has no words of OpenSSL's. */
	if (text == NULL && ERR_SYSTEM_ERROR(code))
		text = strerror(ERR_GET_REASON(code));
	str_copy(str_from(text != NULL ? text : "unknown error"), out, cap);
	ERR_clear_error();
	return out;
}

void
tls_set_error(struct tls *t, const char *fmt, ...)
{
	char text[TLS_ERROR_MAX];
	va_list ap;

	if (t->error != NULL) /* the first one is the reason */
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t->error = xstrdup(text);
}

struct tls *
tls_new(SSL_CTX *ctx, BIO_METHOD *method)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	BIO *bio = BIO_new(method);

	t->fd = -1;
	t->ssl = SSL_new(ctx);
	if (t->ssl == NULL || bio == NULL)
		panic("tls: out of memory");
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_app_data(t->ssl, t);
	return t;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	/* An end without goodbye must not spoil the session for reuse. */
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	tls_server_unref(t->server);
	tls_client_unref(t->client);
	free(t->name);
	free(t->at);
	free(t->user);
	free(t->error);
	free(t);
}

void
tls_set_fd(struct tls *t, int fd)
{
	t->fd = fd;
}

/* Words for a failure of SSL_get_error; error is errno as it stood. */
static void
explain(struct tls *t, int what, int error)
{
	char why[200];

	if (what == SSL_ERROR_ZERO_RETURN || t->eof)
		tls_set_error(t, "the peer closed the connection");
	else if (what == SSL_ERROR_SYSCALL && error != 0)
		tls_set_error(t, "%s", strerror(error));
	else
		tls_set_error(t, "%s", tls_library_error(why, sizeof(why)));
	ERR_clear_error();
}

static enum tls_step
end_handshake(struct tls *t)
{
	bool ok =
	    t->server != NULL ? tls_server_shaken(t) : tls_client_shaken(t);

	if (!ok)
		return TLS_FAILED;
	t->shaken = true;
	t->more = SSL_has_pending(t->ssl) == 1;
	return TLS_DONE;
}

enum tls_step
tls_handshake(struct tls *t)
{
	int n, what;

	ERR_clear_error();
	errno = 0;
	n = SSL_do_handshake(t->ssl);
	if (n == 1)
		return end_handshake(t);
	what = SSL_get_error(t->ssl, n);
	if (what == SSL_ERROR_WANT_READ)
		return TLS_WANT_READ;
	if (what == SSL_ERROR_WANT_WRITE)
		return TLS_WANT_WRITE;
	explain(t, what, errno);
	return TLS_FAILED;
}

/* After SSL_read or SSL_write failed: -1 with errno, or 0 at the end. */
static ssize_t
fail(struct tls *t)
{
	int error = errno;
	int what = SSL_get_error(t->ssl, 0);

	switch (what) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		break;
	}
	explain(t, what, error);
	errno = what == SSL_ERROR_SYSCALL && error != 0 ? error : EPROTO;
	return -1;
}

ssize_t
tls_read(struct tls *t, void *p, size_t n)
{
	size_t got = 0, part;
	bool ok;

	ERR_clear_error();
	errno = 0;
	do {
		ok = SSL_read_ex(t->ssl, (char *)p + got, n - got, &part) == 1;
		got += ok ? part : 0;
	} while (ok && got < n && SSL_has_pending(t->ssl) == 1);
	/* What is left in OpenSSL wakes nobody. A part of a record does not
	 * count, and is not mistaken for more when the reader had room. */
	t->more = ok && got == n && SSL_has_pending(t->ssl) == 1;
	if (got > 0) {
		/* An end that was met behind the text is met again. */
		if (!ok && SSL_get_error(t->ssl, 0) != SSL_ERROR_WANT_READ)
			t->more = true;
		return (ssize_t)got;
	}
	return fail(t);
}

ssize_t
tls_write(struct tls *t, const void *p, size_t n)
{
	size_t put = 0, part;

	ERR_clear_error();
	errno = 0;
	while (put < n) {
		if (SSL_write_ex(
			t->ssl, (const char *)p + put, n - put, &part) != 1)
			break;
		put += part;
	}
	return put > 0 ? (ssize_t)put : fail(t);
}

bool
tls_has_more(const struct tls *t)
{
	return t->more;
}

bool
tls_peek(struct tls *t)
{
	size_t n = 0;
	char byte;
	bool there;

	ERR_clear_error();
	there = SSL_peek_ex(t->ssl, &byte, 1, &n) == 1 && n > 0;
	t->more = t->more || there;
	ERR_clear_error();
	return there;
}

void
tls_shutdown(struct tls *t)
{
	if (!t->shaken || t->shut || t->error != NULL)
		return;
	t->shut = true;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}

const char *
tls_error(const struct tls *t)
{
	return t->error != NULL ? t->error : "";
}

struct tls_info
tls_info(const struct tls *t)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
	const char *name = SSL_CIPHER_standard_name(cipher);

	return (struct tls_info){
	    .version = SSL_get_version(t->ssl),
	    .cipher = name != NULL ? name : "unknown",
	    .user = t->user,
	    .sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name),
	    .resumed = SSL_session_reused(t->ssl) == 1,
	    .verified = t->verified,
	};
}
