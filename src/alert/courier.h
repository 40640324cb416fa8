/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How alerts leave the machine: a webhook, a program, or mail on a route of
 * its own. What goes by weir's own delivery does not come here.
 */
#ifndef ALERT_COURIER_H
#define ALERT_COURIER_H

#include "alert/alert.h"
#include "net/loop.h"

struct courier;

/* NULL: libcurl cannot be used. */
struct courier *courier_new(struct loop *loop);
/* What is under way ends, and nobody hears of it. */
void courier_free(struct courier *c); /* takes NULL */
/* As alert_ops.send has it; wall: for the signature. All is copied. */
void courier_send(struct courier *c, const struct alert_voice *v,
    const struct alert_conf *conf, const struct alert_batch *b, int64_t wall,
    alert_sent_fn *fn, void *arg);

#define COURIER_SIGNATURE_MAX 64
/* "v1," and the HMAC-SHA256 in base64 of "id.seconds.body". Returns out. */
const char *courier_sign(const void *secret, size_t size, const char *id,
    int64_t seconds, const char *body, char out[COURIER_SIGNATURE_MAX]);

#endif
