/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client side of Dovecot's authentication protocol (versions 1.1 and 1.2)
 * without I/O: lines of fields separated by tabs. Many exchanges share one
 * connection, told apart by their id.
 *
 * The server is ours to configure but not to trust: a line too long, or an
 * answer that no request has asked for, is dropped or breaks the connection.
 */
#ifndef SMTP_DOVECOT_H
#define SMTP_DOVECOT_H

#include "base/ip.h"
#include "smtp/sasl.h"

struct dovecot;

enum dovecot_what { DOVECOT_CONTINUE, DOVECOT_OK, DOVECOT_FAIL };

struct dovecot_answer {
	uint32_t id;
	enum dovecot_what what;
	struct str challenge; /* CONTINUE: base64 */
	struct str user;      /* OK: as Dovecot knows it; "": not said */
	bool temporary;       /* FAIL: not the password's fault */
};

struct dovecot_ops {
	void (*write)(void *arg, const char *p, size_t n);
	/* The handshake is done: enum sasl_mech bits. */
	void (*on_ready)(void *arg, unsigned mechs);
	void (*on_answer)(void *arg, const struct dovecot_answer *answer);
};

/* What the server is told of a client. */
struct dovecot_client {
	struct ip remote, local;
	uint16_t remote_port, local_port;
	bool secure;
};

struct dovecot *dovecot_new(
    const struct dovecot_ops *ops, void *arg, uint32_t process_id);
void dovecot_free(struct dovecot *d);
/* False: the connection is useless. The callbacks may not free it. */
MUST_CHECK bool dovecot_feed(struct dovecot *d, const char *p, size_t n);
bool dovecot_is_ready(const struct dovecot *d);
/* Starts an exchange; its answers come to on_answer. initial is base64;
 * has_initial: there is one, be it empty. */
void dovecot_auth(struct dovecot *d, uint32_t id, enum sasl_mech mech,
    const struct dovecot_client *client, bool has_initial, struct str initial);
void dovecot_continue(struct dovecot *d, uint32_t id, struct str response);
void dovecot_cancel(struct dovecot *d, uint32_t id);

#endif
