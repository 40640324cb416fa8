/* SPDX-License-Identifier: BSD-3-Clause */
#include "alert/courier.h"

#include "alert/fetch.h"
#include "net/command.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 40 /* of ours, and of header_file */

struct sending {
	struct list entry;
	struct courier *courier;
	struct command *command; /* NULL: a fetch */
	alert_sent_fn *fn;
	void *arg;
};

struct courier {
	struct loop *loop;
	struct fetch *fetch;
	struct list sendings;
};

struct courier *
courier_new(struct loop *loop)
{
	struct courier *c = xcalloc(1, sizeof(*c));

	c->loop = loop;
	list_init(&c->sendings);
	c->fetch = fetch_new(loop);
	if (c->fetch == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

void
courier_free(struct courier *c)
{
	if (c == NULL)
		return;
	fetch_free(c->fetch);
	while (!list_is_empty(&c->sendings)) {
		struct sending *s =
		    LIST_ITEM(c->sendings.next, struct sending, entry);

		if (s->command != NULL)
			command_free(s->command);
		list_remove(&s->entry);
		free(s);
	}
	free(c);
}

static void
sending_end(struct sending *s, bool taken, const char *why)
{
	list_remove(&s->entry);
	s->fn(s->arg, taken, why);
	free(s);
}

static void
on_fetched(void *arg, const struct fetch_end *end)
{
	sending_end(arg, end->why[0] == '\0', end->why);
}

/* ---- webhook ---- */

const char *
courier_sign(const void *secret, size_t size, const char *id, int64_t seconds,
    const char *body, char out[COURIER_SIGNATURE_MAX])
{
	char *text = xasprintf("%s.%" PRId64 ".%s", id, seconds, body);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (HMAC(EVP_sha256(), secret, (int)size, (const unsigned char *)text,
		strlen(text), mac, &n) == NULL)
		panic("alert: no HMAC-SHA256");
	memcpy(out, "v1,", 3);
	EVP_EncodeBlock((unsigned char *)out + 3, mac, (int)n);
	free(text);
	return out;
}

static void
send_webhook(struct courier *c, const struct alert_voice *v,
    const struct alert_conf *conf, const struct alert_batch *b, int64_t wall,
    struct sending *s)
{
	char id[ALERT_ID_MAX + 16], time[48], mac[COURIER_SIGNATURE_MAX];
	char signature[COURIER_SIGNATURE_MAX + 32];
	const char *headers[HEADERS_MAX + 1];
	char *body = alert_body(v, conf, b), *lines = NULL;
	int64_t seconds = wall / 1000;
	size_t n = 0;
	char *p;

	snprintf(id, sizeof(id), "webhook-id: %s", b->id);
	snprintf(time, sizeof(time), "webhook-timestamp: %" PRId64, seconds);
	headers[n++] = "Content-Type: application/json";
	headers[n++] = "User-Agent: weir";
	headers[n++] = "Expect:";
	headers[n++] = id;
	headers[n++] = time;
	if (conf->secret != NULL) {
		snprintf(signature, sizeof(signature), "webhook-signature: %s",
		    courier_sign(conf->secret, conf->secret_size, b->id,
			seconds, body, mac));
		headers[n++] = signature;
	}
	p = lines = conf->headers != NULL ? xstrdup(conf->headers) : NULL;
	while (p != NULL && n < HEADERS_MAX)
		headers[n++] = strsep(&p, "\n");
	headers[n] = NULL;
	fetch_start(c->fetch, &(struct fetch_order){.url = conf->endpoint,
				  .headers = headers,
				  .body = body,
				  .size = strlen(body),
				  .ca_file = conf->ca_file,
				  .timeout_ms = conf->timeout_ms,
				  .on_end = on_fetched,
				  .arg = s});
	if (lines != NULL)
		OPENSSL_cleanse(lines, strlen(conf->headers));
	free(lines);
	free(body);
}

/* ---- mail with a route of its own ---- */

static void
send_mail(struct courier *c, const struct alert_voice *v,
    const struct alert_conf *conf, const struct alert_batch *b, int64_t wall,
    struct sending *s)
{
	struct str hop = str_from(conf->next_hop);
	char *text = alert_mail(v, conf, b, wall);
	char *url = xasprintf("%s%s",
	    str_istarts(hop, STR("smtp://")) ||
		    str_istarts(hop, STR("smtps://"))
		? ""
		: "smtp://",
	    conf->next_hop);
	const char **to = xcalloc(conf->to.n + 1, sizeof(*to));

	for (size_t i = 0; i < conf->to.n; i++)
		to[i] = conf->to.v[i];
	fetch_start(c->fetch, &(struct fetch_order){.url = url,
				  .to = to,
				  .hostname = v->hostname,
				  .body = text,
				  .size = strlen(text),
				  .ca_file = conf->ca_file,
				  .timeout_ms = conf->timeout_ms,
				  .on_end = on_fetched,
				  .arg = s});
	free(to);
	free(url);
	free(text);
}

/* ---- command ---- */

static void
on_command_end(void *arg, const struct command_end *end)
{
	struct sending *s = arg;
	char why[COMMAND_SAID_MAX + 64] = "";

	s->command = NULL;
	if (end->timed_out)
		snprintf(why, sizeof(why), "timed out");
	else if (end->status != 0)
		snprintf(why, sizeof(why), "exit status %d%s%s", end->status,
		    end->said[0] != '\0' ? ": " : "", end->said);
	sending_end(s, why[0] == '\0', why);
}

/* A pipe holds so much: a digest is told with fewer of its events. */
static char *
short_json(const struct alert_voice *v, const struct alert_conf *conf,
    const struct alert_batch *b)
{
	size_t max = ALERT_DIGEST_MAX;
	char *text = alert_json(v, conf, b, max);

	while (strlen(text) > COMMAND_INPUT_MAX && max > 0) {
		free(text);
		max /= 2;
		text = alert_json(v, conf, b, max);
	}
	return text;
}

static void
send_command(struct courier *c, const struct alert_voice *v,
    const struct alert_conf *conf, const struct alert_batch *b,
    struct sending *s)
{
	const char *argv[] = {conf->command, NULL};
	char *text = short_json(v, conf, b);

	s->command = command_start(c->loop, &(struct command_run){.argv = argv,
						.input = str_from(text),
						.timeout_ms = conf->timeout_ms,
						.on_end = on_command_end,
						.arg = s});
	free(text);
}

void
courier_send(struct courier *c, const struct alert_voice *v,
    const struct alert_conf *conf, const struct alert_batch *b, int64_t wall,
    alert_sent_fn *fn, void *arg)
{
	struct sending *s = xcalloc(1, sizeof(*s));

	s->courier = c;
	s->fn = fn;
	s->arg = arg;
	list_append(&c->sendings, &s->entry);
	switch ((enum alert_channel)conf->channel) {
	case ALERT_MAIL:
		send_mail(c, v, conf, b, wall, s);
		return;
	case ALERT_WEBHOOK:
		send_webhook(c, v, conf, b, wall, s);
		return;
	case ALERT_COMMAND:
		send_command(c, v, conf, b, s);
		return;
	case ALERT_CHANNELS:
		break;
	}
	panic("alert: channel %d", conf->channel);
}
