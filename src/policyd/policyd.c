/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request at a time per connection: the next is read when the gate has
 * answered. Incoming mail teaches (learn_inbound) when the end of its message
 * is asked about on the same connection; Postfix's smtpd keeps to one, and
 * tells the recipient there only when there is one, so those that passed are
 * remembered. A client that sends garbage, or nothing for long, is closed;
 * Postfix then defers by itself (smtpd_policy_service_default_action).
 */
#include "policyd/policyd.h"

#include "net/conn.h"
#include "net/places.h"
#include "os/clock.h"
#include "os/tap.h"
#include "policyd/policy_request.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_MS (INT64_C(1000) * 1000) /* Postfix closes after 300 s */
#define REQUEST_MS (INT64_C(30) * 1000)
#define LINGER_MS 2000
#define ANSWER_MAX 600

struct policyd {
	struct policyd_parts parts;
	struct list conns;
	struct places *places;
	/* The next line about a stranger, and about one too many. */
	_Atomic int64_t denied_due, full_due;
};

struct policy_conn {
	struct list entry;
	struct policyd *d;
	struct conn *conn;
	struct loop_timer timer;
	struct loop_task reap;
	struct share_user *place;
	struct policy_parser parser;
	char asked[128]; /* instance whose recipient was asked about last */
	struct gate_txn *gate; /* of the request in hand */
	/* What users will have learnt when this message has ended. */
	struct gate_observation *observation;
	char observation_of[128]; /* instance; its observation may be none */
	char held[128];           /* the instance that was put on HOLD last */
	bool with_recipient;
	bool busy, at_end, pumping, closing;
};

static void pump(struct policy_conn *c, int64_t now);

static void
on_reap(void *arg, int64_t now)
{
	struct policy_conn *c = arg;

	(void)now;
	loop_timer_clear(&c->timer);
	loop_task_clear(&c->reap);
	free(c);
}

static void
policy_conn_end(struct policy_conn *c, int64_t linger_ms, int64_t now)
{
	if (c->closing)
		return;
	c->closing = true;
	if (c->gate != NULL)
		gate_cancel(c->gate, now);
	c->gate = NULL;
	gate_observation_free(c->observation);
	list_remove(&c->entry);
	places_give(c->d->places, c->place);
	if (linger_ms > 0)
		conn_close(c->conn, linger_ms);
	else
		conn_free(c->conn);
	loop_task_set(&c->reap);
}

static struct gate_facts
facts_of(const struct policy_request *rq)
{
	struct gate_facts facts = {
	    .user = str_from(rq->sasl_username),
	    .sender = str_from(rq->sender),
	    .helo = str_from(rq->helo_name),
	};

	if (!ip_parse(str_from(rq->client_address), &facts.client))
		facts.client.family = IP_NONE;
	facts.local =
	    facts.client.family == IP_NONE || ip_is_loopback(&facts.client);
	return facts;
}

static bool
is_at_end(const struct policy_request *rq)
{
	return strcmp(rq->protocol_state, "END-OF-MESSAGE") == 0;
}

/* ---- incoming mail ---- */

/* The observation of the message in hand; NULL: none. */
static struct gate_observation *
get_observation(struct policy_conn *c)
{
	const struct policy_request *rq = &c->parser.request;
	struct gate_facts facts = facts_of(rq);

	if (rq->instance[0] != '\0' &&
	    strcmp(rq->instance, c->observation_of) == 0)
		return c->observation;
	gate_observation_free(c->observation);
	c->observation = gate_observation_new(c->d->parts.gate, &facts);
	str_copy(str_from(rq->instance), c->observation_of,
	    sizeof(c->observation_of));
	return c->observation;
}

/* As late as the protocol tells: what the mail server itself says to the text
 * comes after it. */
static void
end_observation(struct policy_conn *c, int64_t now)
{
	struct gate_observation *observation;

	if (!is_at_end(&c->parser.request))
		return;
	observation = get_observation(c);
	c->observation = NULL;
	if (observation != NULL)
		gate_observation_learn(observation, now, clock_wall_ms());
}

/* ---- answers ---- */

static void
write_tap(const struct policy_conn *c, const char *source, const char *action,
    const char *text)
{
	const struct policy_request *rq = &c->parser.request;
	struct tap *tap = log_tap(c->d->parts.log);
	struct tap_who who = {.sender = source, .from = rq->sender};

	if (!tap_is_on(tap))
		return;
	if (ip_parse(str_from(rq->client_address), &who.ip))
		who.client = &who.ip;
	tap_print(tap, &who, TAP_CLIENT,
	    "policy: state=%s sender=%s recipient=%s", rq->protocol_state,
	    rq->sender, rq->recipient);
	tap_print(tap, &who, TAP_REPLY, "policy: %s%s%s", action,
	    text[0] != '\0' ? " " : "", text);
}

static void
reply(struct policy_conn *c, const char *action, const char *text)
{
	const struct policy_request *rq = &c->parser.request;
	char line[ANSWER_MAX];
	const char *source = c->gate != NULL ? gate_txn_source(c->gate) : "";
	int n = snprintf(line, sizeof(line), "action=%s%s%.500s\n\n", action,
	    text[0] != '\0' ? " " : "", text);

	log_write(c->d->parts.log, LOG_EV_POLICY_ANSWER,
	    KV(protocol_state, rq->protocol_state), KV(sender, source),
	    KV(to, rq->recipient), KV(action, action), KV(text, text));
	write_tap(c, source, action, text);
	conn_write(c->conn, line, (size_t)n);
}

/* The transaction was ended: on to what has come meanwhile. */
static void
go_on(struct policy_conn *c, int64_t now)
{
	c->busy = false;
	c->gate = NULL;
	policy_parser_init(&c->parser);
	loop_timer_set(&c->timer, now + IDLE_MS);
	pump(c, now);
}

/* It waits in the mail server's hold queue as a whole: the freeze that one of
 * its recipients brought does not refuse the rest. */
static bool
is_on_hold(const struct policy_conn *c)
{
	const char *instance = c->parser.request.instance;

	return instance[0] != '\0' && strcmp(instance, c->held) == 0;
}

static void
answer_refused(struct policy_conn *c, const struct gate_answer *a, int64_t now)
{
	char text[ANSWER_MAX];

	snprintf(text, sizeof(text), "%s %s", a->enhanced, a->text);
	if (a->is_frozen && is_on_hold(c))
		reply(c, "HOLD", text);
	else
		reply(c, a->code >= 500 ? "REJECT" : "DEFER_IF_PERMIT", text);
	gate_cancel(c->gate, now);
	go_on(c, now);
}

static void
answer_wait(struct policy_conn *c, const char *why, int64_t now)
{
	static const char *const actions[] = {
	    "DEFER_IF_PERMIT 4.7.1", "HOLD", "REJECT 5.7.1"};
	const struct policy_conf *conf = gate_txn_conf(c->gate);
	/* Those before it have been let pass: only HOLD stops the message for
	 * them too, and tells the client nothing. */
	bool holds = conf->service == POLICY_SERVICE_HOLD ||
		     gate_txn_is_decoyed(c->gate);
	char text[ANSWER_MAX];

	snprintf(text, sizeof(text), "new recipient must wait: %s", why);
	reply(c, holds ? "HOLD" : actions[conf->service], text);
	if (!holds)
		events_add_option(c->d->parts.events, clock_wall_ms(),
		    EVENT_REFUSE, "service", gate_txn_source(c->gate), "",
		    "%.200s: %s", c->parser.request.recipient, text);
	if (holds) {
		str_copy(str_from(c->parser.request.instance), c->held,
		    sizeof(c->held));
		/* The message goes nowhere yet: nobody learns from it. */
		gate_observation_free(get_observation(c));
		c->observation = NULL;
	}
	gate_defer(c->gate, now, clock_wall_ms());
	go_on(c, now);
}

/* What it spends is on disk, or frozen since. */
static void
on_secured(void *arg, const struct gate_answer *a)
{
	struct policy_conn *c = arg;
	int64_t now = loop_now(c->d->parts.loop);
	struct gate_observation *observation;

	if (a->verdict == THROTTLE_REFUSE) {
		answer_refused(c, a, now);
		return;
	}
	reply(c, "DUNNO", "");
	/* What becomes of the message is not told: it counts. */
	gate_commit(c->gate, NULL, now, clock_wall_ms());
	/* Its recipient passed. */
	observation = get_observation(c);
	if (observation != NULL)
		gate_observation_add(
		    observation, str_from(c->parser.request.recipient));
	end_observation(c, now);
	go_on(c, now);
}

static void
on_recipient(void *arg, const struct gate_answer *a)
{
	struct policy_conn *c = arg;
	int64_t now = loop_now(c->d->parts.loop);

	str_copy(
	    str_from(c->parser.request.instance), c->asked, sizeof(c->asked));
	switch (a->verdict) {
	case THROTTLE_PASS:
		gate_secure(c->gate, now, clock_wall_ms(), on_secured, c);
		break;
	case THROTTLE_HOLD:
		answer_wait(c, a->why, now);
		break;
	case THROTTLE_REFUSE:
		answer_refused(c, a, now);
		break;
	}
}

static void
on_sender(void *arg, const struct gate_answer *a)
{
	struct policy_conn *c = arg;
	const struct policy_request *rq = &c->parser.request;
	int64_t now = loop_now(c->d->parts.loop);

	if (a->verdict == THROTTLE_REFUSE) {
		answer_refused(c, a, now);
	} else if (c->with_recipient) {
		gate_recipient(c->gate, str_from(rq->recipient), now,
		    clock_wall_ms(), on_recipient, c);
	} else {
		reply(c, "DUNNO", "");
		gate_cancel(c->gate, now);
		end_observation(c, now);
		go_on(c, now);
	}
}

/* ---- requests ---- */

static bool
has_recipient(const struct policy_conn *c)
{
	const struct policy_request *rq = &c->parser.request;

	if (rq->recipient[0] == '\0')
		return false;
	if (strcmp(rq->protocol_state, "RCPT") == 0)
		return true;
	/* With one recipient it is told at the end as well: a site that asks
	 * there alone is served, one that asked before is not counted twice. */
	return is_at_end(rq) &&
	       (rq->instance[0] == '\0' || strcmp(rq->instance, c->asked) != 0);
}

/* Leaves the address alone in its place. False: what came is none. Postfix
 * gives what its client wrote without its quotes: what needed them is refused
 * as well, since it could mean another mailbox. */
static bool
take_address(char *text, bool null_ok)
{
	struct smtp_path path;

	if (smtp_path_parse_given(str_from(text), null_ok, &path) !=
	    SMTP_PATH_OK)
		return false;
	memmove(text, path.address.p, path.address.n);
	text[path.address.n] = '\0';
	return true;
}

/* False: answered. */
static bool
take_addresses(struct policy_conn *c)
{
	struct policy_request *rq = &c->parser.request;

	if (!take_address(rq->sender, true))
		reply(c, "REJECT", "5.1.7 bad sender address syntax");
	else if (rq->recipient[0] != '\0' &&
		 !take_address(rq->recipient, false))
		reply(c, "REJECT", "5.1.3 bad recipient address syntax");
	else
		return true;
	counters_add(c->d->parts.counters, COUNT_REFUSED_RECIPIENTS, 1);
	counters_add(c->d->parts.counters, COUNT_REFUSE_SYNTAX, 1);
	return false;
}

static void
ask(struct policy_conn *c, int64_t now)
{
	const struct policy_request *rq = &c->parser.request;
	struct gate_facts facts;

	c->busy = true;
	loop_timer_set(&c->timer, INT64_MAX);
	if (strcmp(rq->request, "smtpd_access_policy") != 0) {
		reply(c, "DUNNO", "");
		go_on(c, now);
		return;
	}
	if (rq->cut) {
		reply(c, "DEFER_IF_PERMIT", "4.7.1 an attribute is too long");
		go_on(c, now);
		return;
	}
	if (!take_addresses(c)) {
		go_on(c, now);
		return;
	}
	facts = facts_of(rq);
	c->with_recipient = has_recipient(c);
	c->gate = gate_begin(c->d->parts.gate, &facts, now);
	gate_sender(c->gate, now, clock_wall_ms(), on_sender, c);
}

/* Answers come from within ask() as a rule: a loop, not a recursion. */
static void
pump(struct policy_conn *c, int64_t now)
{
	if (c->pumping)
		return;
	c->pumping = true;
	while (!c->closing && !c->busy && !conn_is_full(c->conn)) {
		struct str in = conn_input(c->conn), rest = in;
		enum policy_parse got = policy_parse(&c->parser, &rest);

		conn_consume(c->conn, in.n - rest.n);
		if (got == POLICY_DONE) {
			ask(c, now);
			continue;
		}
		if (got == POLICY_BAD) {
			log_write(c->d->parts.log, LOG_EV_POLICY_CLOSE,
			    KV(reason, "not a policy request"));
			counters_add(
			    c->d->parts.counters, COUNT_PROTOCOL_ERRORS, 1);
			policy_conn_end(c, LINGER_MS, now);
		} else if (c->parser.size > 0) {
			loop_timer_set(&c->timer, now + REQUEST_MS);
		}
		break;
	}
	c->pumping = false;
	if (c->at_end && !c->busy)
		policy_conn_end(c, LINGER_MS, now);
}

/* ---- connections ---- */

static void
on_conn_read(void *arg, int64_t now)
{
	pump(arg, now);
}

static void
on_conn_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct policy_conn *c = arg;

	(void)error;
	/* Exim's readsocket ends its side with the request: the answer is
	 * still read. */
	if (why == CONN_EOF && c->busy)
		c->at_end = true;
	else
		policy_conn_end(c, why == CONN_EOF ? LINGER_MS : 0, now);
}

static void
on_idle(void *arg, int64_t now)
{
	struct policy_conn *c = arg;

	if (!c->busy)
		policy_conn_end(c, 0, now);
}

static const struct conn_ops conn_ops = {
    .on_read = on_conn_read,
    .on_drain = on_conn_read,
    .on_end = on_conn_end,
};

struct policyd *
policyd_new(const struct policyd_parts *parts)
{
	struct policyd *d = xcalloc(1, sizeof(*d));

	d->parts = *parts;
	d->places = places_new();
	list_init(&d->conns);
	return d;
}

static bool
is_welcome(struct policyd *d, const struct peer *peer,
    const struct peer_rules *rules, int64_t now)
{
	char why[160];

	if (peer_may(rules, peer, why, sizeof(why)))
		return true;
	counters_add(d->parts.counters, COUNT_PEERS_REFUSED, 1);
	if (!peer_is_news(&d->denied_due, now))
		return false;
	log_write(d->parts.log, LOG_EV_POLICY_DENIED, KV(reason, why));
	return false;
}

static void
refuse(struct policyd *d, const struct net_addr *addr, int64_t now)
{
	char text[NET_ADDR_TEXT_MAX];

	counters_add(d->parts.counters, COUNT_CONNECTIONS_REFUSED, 1);
	net_addr_format(addr, text);
	events_add_option(d->parts.events, clock_wall_ms(), EVENT_LIMIT,
	    "policy_connections_max", text, "",
	    "too many connections to the "
	    "policy service were open");
	if (!peer_is_news(&d->full_due, now))
		return;
	log_write(d->parts.log, LOG_EV_POLICY_REFUSE, KV(client, text),
	    KV(limit, "policy_connections_max"),
	    KV(open, places_used(d->places)));
}

void
policyd_accept(struct policyd *d, int fd, const struct net_addr *addr,
    const struct peer_rules *rules, int64_t now)
{
	char key[PLACE_KEY_MAX];
	struct share_user *place = NULL;
	struct policy_conn *c;
	struct peer peer;

	peer_find(fd, &peer);
	if (is_welcome(d, &peer, rules, now)) {
		place = places_take(d->places, places_peer_key(&peer, key),
		    d->parts.connections_max);
		if (place == NULL)
			refuse(d, addr, now);
	}
	if (place == NULL) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->d = d;
	c->place = place;
	policy_parser_init(&c->parser);
	list_append(&d->conns, &c->entry);
	loop_timer_init(&c->timer, d->parts.loop, on_idle, c);
	loop_task_init(&c->reap, d->parts.loop, on_reap, c);
	c->conn = conn_new(d->parts.loop, fd, &conn_ops, c);
	loop_timer_set(&c->timer, now + IDLE_MS);
}

void
policyd_free(struct policyd *d)
{
	struct list *e, *next;

	if (d == NULL)
		return;
	list_each_safe (e, next, &d->conns) {
		policy_conn_end(LIST_ITEM(e, struct policy_conn, entry), 0,
		    loop_now(d->parts.loop));
	}
	places_free(d->places);
	free(d);
}
