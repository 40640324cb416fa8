/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream connection on the loop: non-blocking, TCP_NODELAY, bounded buffers.
 * Output is gathered and written in one go at the end of the turn, a long run
 * at once. Plain and TLS I/O are two const tables of the same functions (struct
 * conn_io), and a connection goes from the one to the other where it stands.
 *
 * Nothing is freed inside its own callback: conn_free and conn_close only
 * queue it, the loop reaps it; no callback comes after them.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

enum conn_end { CONN_EOF, CONN_ERROR, CONN_TIMEOUT };

struct conn_ops {
	/* Outgoing connections alone. */
	void (*on_connect)(void *arg, int64_t now);
	/* Bytes are in conn_input; consume with conn_consume. Called again
	 * only when more bytes came, or after conn_resume. */
	void (*on_read)(void *arg, int64_t now);
	/* The output fell below the low-water mark after conn_write had
	 * reported it full. */
	void (*on_drain)(void *arg, int64_t now);
	/* The handshake that conn_start_tls began is done. */
	void (*on_tls)(void *arg, int64_t now);
	/* The peer has said all that it will say, and may still listen: the
	 * owner answers what is open, then closes. on_end comes only if the
	 * connection breaks. NULL: on_end (CONN_EOF) instead. */
	void (*on_eof)(void *arg, int64_t now);
	/* The peer closed, or an error: errno in error (EPROTO: conn_tls_error
	 * has the words). Last call. */
	void (*on_end)(void *arg, enum conn_end why, int error, int64_t now);
};

#define CONN_INPUT_MAX 65536    /* read at once, and kept unconsumed */
#define CONN_OUTPUT_HIGH 131072 /* back-pressure starts */
#define CONN_OUTPUT_LOW 32768
#define CONN_OUTPUT_MAX (1u << 20) /* past it the connection fails */
#define CONN_REPLIES_HIGH 16384    /* for a peer that only gets replies */

/* Takes the descriptor (non-blocking already or not). TCP_NODELAY is the
 * listener's: accepted sockets have it from there. */
struct conn *conn_new(
    struct loop *l, int fd, const struct conn_ops *ops, void *arg);
/* Starts to connect; on_connect or on_end follows, never from within. */
struct conn *conn_connect(struct loop *l, const struct net_addr *to,
    int64_t timeout_ms, const struct conn_ops *ops, void *arg);
void conn_set_owner(struct conn *c, const struct conn_ops *ops, void *arg);
struct str conn_input(const struct conn *c);
void conn_consume(struct conn *c, size_t n);
/* Queues output. False: the high-water mark is passed, hold back until
 * on_drain (the bytes were taken all the same). */
bool conn_write(struct conn *c, const void *p, size_t n);
bool conn_is_full(const struct conn *c);
/* Back-pressure starts at high bytes instead of CONN_OUTPUT_HIGH and ends at a
 * quarter of them. */
void conn_set_output_high(struct conn *c, uint32_t high);
/* Stops and restarts reading. conn_resume calls on_read from the loop when
 * unconsumed input is there. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/* Writes now what can be written. */
void conn_flush(struct conn *c);
/* Closes after the output is written or linger_ms have passed. */
void conn_close(struct conn *c, int64_t linger_ms);
/* The same for a peer that has said its last word (QUIT): closes as soon as the
 * output is written, without waiting for the peer's own end. */
void conn_finish(struct conn *c, int64_t linger_ms);
void conn_free(struct conn *c); /* closes now, output is lost */
int conn_fd(const struct conn *c);
/* Reads at most so many bytes at a time, so that what comes behind them stays
 * in the kernel; 0: as many as there are. */
void conn_set_read_max(struct conn *c, size_t max);
/* While it is on, what was consumed and what was written is overwritten in
 * memory: a password may be in it. */
void conn_set_secret(struct conn *c, bool secret);

/*
 * Goes on with TLS: on_tls or on_end follows, never from within, within
 * timeout_ms. What was written before goes out in plain, what is written from
 * now on after the handshake; a pause does not hold up the handshake. t is
 * taken. False: bytes of the peer are here already, and nobody knows who said
 * them (CVE-2011-0411, CVE-2021-38371), or it does not take our last words; the
 * owner closes the connection.
 */
MUST_CHECK bool conn_start_tls(
    struct conn *c, struct tls *t, int64_t timeout_ms);
bool conn_is_tls(const struct conn *c); /* and the handshake is done */
bool conn_is_shaking(const struct conn *c);
struct tls_info conn_tls_info(const struct conn *c); /* only then */
const char *conn_tls_error(const struct conn *c);    /* "": none */
/* Bytes of the peer are here or in the kernel that on_read has not had. */
bool conn_peek(const struct conn *c);

#endif
