/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What conn.c (life of a connection), conn_flow.c (its bytes) and conn_tls.c
 * (its way to TLS) share. Nobody else includes it.
 */
#ifndef NET_CONN_PRIVATE_H
#define NET_CONN_PRIVATE_H

#include "base/buf.h"
#include "net/conn.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/types.h>

/* Where bytes go through: read and write as recv and send do, with -1 and
 * errno; EAGAIN arms the event. more: further bytes follow at once. */
struct conn_io {
	ssize_t (*read)(struct conn *c, void *p, size_t n);
	ssize_t (*write)(struct conn *c, const void *p, size_t n, bool more);
};

extern const struct conn_io conn_plain, conn_tls;

enum conn_state {
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_ENDED,    /* on_end was called; its owner has yet to close it */
	CONN_CLOSING,  /* no owner any more; output is written */
	CONN_DRAINING, /* no owner; waits for the peer to close */
	CONN_DEAD,     /* descriptor closed, freed at the end of the turn */
};

struct conn {
	struct loop *loop;
	const struct conn_io *io;
	const struct conn_ops *ops;
	void *arg;
	int fd;
	enum conn_state state;
	bool reading; /* the read event is armed; half: for a reset */
	bool writing; /* the write event is armed */
	bool secret;  /* buffers are wiped */
	bool paused;
	bool shaking;  /* the TLS handshake is under way */
	bool resumed;  /* input is to be delivered by the task */
	bool full;     /* above high water since; on_drain follows */
	bool drained;  /* on_drain is due */
	bool said_all; /* the peer has, no need to wait for its end */
	bool ended;    /* end_why and end_error are to be told */
	bool half;     /* on_eof was called: output alone from here on */
	enum conn_end end_why;
	int end_error;
	int write_error;
	uint32_t discarded; /* bytes, while draining */
	size_t read_max;    /* 0: none */
	uint32_t output_high, output_low;
	struct str view; /* input in the loop's scratch buffer */
	struct buf in, out;
	struct event read_event;
	struct event *write_event; /* on first use */
	struct tls *tls;           /* NULL: plain */
	struct loop_timer timer;   /* connecting, shaking hands, closing */
	struct loop_task task, at_free;
};

/* conn.c */
void conn_set_state(struct conn *c, enum conn_state state);

/* conn_tls.c */
void conn_shake(struct conn *c, int64_t now); /* goes on with the handshake */
bool conn_has_more(const struct conn *c);     /* bytes that wake nobody */

/* conn_flow.c */
/* The end, told from the task. */
void conn_end_reading(struct conn *c, enum conn_end why, int error);
void conn_flow_init(struct conn *c);
void conn_flow_stop(struct conn *c); /* no more events */
void conn_want_read(struct conn *c);
void conn_want_write(struct conn *c);
/* Writes; false: the connection is broken, write_error is set. */
bool conn_flow_write(struct conn *c);
/* End of turn of an open connection: calls back, then writes. */
void conn_flow_turn(struct conn *c, int64_t now);

#endif
