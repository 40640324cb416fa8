/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients that send and misbehave, next hops with moods, administrators, and
 * the machine's own troubles. All of them are coroutines in straight lines.
 */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINE 4096
#define REPLY_US (10 * MINUTE_US)

enum mood {
	MOOD_GOOD,
	MOOD_REFUSES,
	MOOD_SILENT,
	MOOD_BUSY,     /* 421 */
	MOOD_GREYLIST, /* 4xx to recipients */
	MOOD_FULL,     /* 4xx to the text */
	MOOD_STRICT,   /* 5xx to some recipients, and texts */
	MOOD_SLOW,
	MOOD_LOSES,  /* takes the text, and breaks before it says so */
	MOOD_BREAKS, /* anywhere */
	MOOD_HANGS,  /* anywhere */
	MOOD_GARBAGE,
	MOOD_MAX
};

static struct {
	enum mood mood[HOPS];
	bool calm;
	struct co *cos[4096];
} world;

/* ---- next hops ---- */

struct talk { /* a connection to a next hop */
	struct sock *s;
	unsigned hop;
	char from[256];
	uint32_t to[100];
	size_t to_n;
	struct buf text;
	bool chunks, is_open;
};

static enum mood
mood_of(const struct talk *t)
{
	return world.calm ? MOOD_GOOD : world.mood[t->hop];
}

/* False: the connection is over. */
static bool
hop_say(struct talk *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	switch (mood_of(t)) {
	case MOOD_SLOW:
		co_sleep(sim_span(SECOND_US, 90 * SECOND_US));
		break;
	case MOOD_BREAKS:
		if (sim_chance(150))
			return false;
		break;
	case MOOD_HANGS:
		if (sim_chance(100)) {
			co_sleep(sim_span(MINUTE_US, 20 * MINUTE_US));
			return sim_chance(500);
		}
		break;
	case MOOD_GARBAGE:
		if (sim_chance(100))
			return sock_say(t->s, "what do you mean?");
		break;
	default:
		break;
	}
	return sock_say(t->s, "%s", line);
}

/* Bounces find their way: else nobody could tell what becomes of them. */
static bool
is_strict(const struct talk *t)
{
	return mood_of(t) == MOOD_STRICT && t->from[0] != '\0' &&
	       sim_chance(300);
}

static bool
hop_rcpt(struct talk *t, const char *line)
{
	unsigned number;

	if (sscanf(line, "RCPT TO:<r%u@", &number) != 1) {
		if (sscanf(line, "RCPT TO:<c%u@", &number) != 1)
			return hop_say(t, "501 5.1.3 which recipient?");
		number = 0;
	}
	if (mood_of(t) == MOOD_GREYLIST && sim_chance(700))
		return hop_say(t, "450 4.7.1 come later");
	if (t->from[0] != '\0' && (number % 23 == 5 || is_strict(t)))
		return hop_say(t, "550 5.1.1 no such user");
	if (t->to_n == ARRAY_LEN(t->to))
		return hop_say(t, "452 4.5.3 too many");
	t->to[t->to_n++] = number;
	return hop_say(t, "250 2.1.5 ok");
}

static bool
hop_end_of_text(struct talk *t)
{
	bool loses = mood_of(t) == MOOD_LOSES && sim_chance(500);
	bool known = t->to_n > 0;

	if (mood_of(t) == MOOD_FULL && sim_chance(700)) {
		known = false;
		if (!hop_say(t, "452 4.3.1 no room"))
			return false;
	} else if (is_strict(t)) {
		known = false;
		if (!hop_say(t, "554 5.6.0 not this text"))
			return false;
	}
	if (known) {
		oracle_delivered(
		    t->from, buf_str(&t->text).p, t->text.len, t->to, t->to_n);
		oracle_taken(t->to_n);
		if (loses || !hop_say(t, "250 2.0.0 taken"))
			return false;
	}
	t->to_n = 0;
	t->is_open = false;
	buf_clear(&t->text);
	buf_init(&t->text, 8u << 20);
	return true;
}

static bool
hop_data(struct talk *t, char *line)
{
	if (t->to_n == 0)
		return hop_say(t, "554 5.5.1 no recipients");
	if (!hop_say(t, "354 go ahead"))
		return false;
	for (;;) {
		const char *p = line;

		if (mood_of(t) == MOOD_BREAKS && sim_chance(5))
			return false;
		if (!sock_line(t->s, line, LINE, HOUR_US))
			return false;
		if (strcmp(line, ".") == 0)
			return hop_end_of_text(t);
		p += line[0] == '.';
		if (!buf_append(&t->text, p, strlen(p)) ||
		    !buf_append(&t->text, "\r\n", 2))
			sim_fail("a text of more than 8 MB at the next hop");
	}
}

static bool
hop_bdat(struct talk *t, const char *line)
{
	size_t n = (size_t)atoll(line + 5);
	bool last = strstr(line, "LAST") != NULL;
	char *p;
	bool came;

	if (n > 4u << 20)
		sim_fail("a chunk of %zu bytes", n);
	p = xmalloc(n + 1);
	came = sock_read(t->s, p, n, HOUR_US);
	if (came && !buf_append(&t->text, p, n))
		sim_fail("a text of more than 8 MB at the next hop");
	free(p);
	if (!came)
		return false;
	if (t->to_n == 0)
		return hop_say(t, "554 5.5.1 no recipients");
	return last ? hop_end_of_text(t) : hop_say(t, "250 2.0.0 %zu", n);
}

static bool
hop_command(struct talk *t, char *line)
{
	if (strncasecmp(line, "EHLO", 4) == 0) {
		return (sim_chance(300) ||
			   hop_say(t,
			       "250-hop%u.sim\r\n250-8BITMIME\r\n"
			       "250-SIZE 10000000\r\n"
			       "250-ENHANCEDSTATUSCODES\r\n"
			       "250-PIPELINING%s",
			       t->hop, t->chunks ? "\r\n250-CHUNKING" : "")) &&
		       hop_say(t, "250 SMTPUTF8");
	}
	if (strncasecmp(line, "MAIL FROM:<", 11) == 0) {
		char *end = strchr(line, '>');

		if (end == NULL)
			return hop_say(t, "501 5.1.7 whose mail?");
		*end = '\0';
		snprintf(t->from, sizeof(t->from), "%s", line + 11);
		t->to_n = 0;
		t->is_open = true;
		buf_clear(&t->text);
		buf_init(&t->text, 8u << 20);
		return hop_say(t, "250 2.1.0 ok");
	}
	if (strncasecmp(line, "RCPT", 4) == 0)
		return hop_rcpt(t, line);
	if (strncasecmp(line, "DATA", 4) == 0)
		return hop_data(t, line);
	if (strncasecmp(line, "BDAT", 4) == 0)
		return hop_bdat(t, line);
	if (strncasecmp(line, "RSET", 4) == 0) {
		t->to_n = 0;
		return hop_say(t, "250 2.0.0 ok");
	}
	if (strncasecmp(line, "NOOP", 4) == 0)
		return hop_say(t, "250 2.0.0 ok");
	if (strncasecmp(line, "QUIT", 4) == 0) {
		(void)hop_say(t, "221 2.0.0 bye");
		return false;
	}
	return hop_say(t, "502 5.5.2 no");
}

static void
hop_main(void *arg)
{
	struct talk *t = arg;
	char *line = xmalloc(LINE);

	buf_init(&t->text, 8u << 20);
	t->chunks = sim_chance(300);
	if (mood_of(t) == MOOD_BUSY && sim_chance(700)) {
		(void)sock_say(t->s, "421 4.3.2 busy");
		goto out;
	}
	if (!hop_say(t, "220 hop%u.sim", t->hop))
		goto out;
	while (sock_line(t->s, line, LINE, HOUR_US)) {
		sim_say("hop %u < %s", t->hop, line);
		if (!hop_command(t, line))
			break;
	}
out:
	sock_close(t->s, sim_chance(300));
	buf_clear(&t->text);
	free(line);
	free(t);
}

static enum net_answer
on_call(void *arg, struct sock *s)
{
	unsigned hop = (unsigned)(uintptr_t)arg;
	enum mood mood = world.calm ? MOOD_GOOD : world.mood[hop];
	struct talk *t;

	if (mood == MOOD_REFUSES)
		return NET_REFUSE;
	if (mood == MOOD_SILENT)
		return NET_SILENT;
	t = xcalloc(1, sizeof(*t));
	t->s = s;
	t->hop = hop;
	co_start(hop_main, t, false);
	return NET_ACCEPT;
}

static void
moods_main(void *arg)
{
	unsigned hop = (unsigned)(uintptr_t)arg;
	int64_t us;

	while (!world.calm) {
		oracle_trouble();
		world.mood[hop] = sim_chance(600)
				      ? MOOD_GOOD
				      : (enum mood)sim_below(MOOD_MAX);
		sim_say("hop %u: mood %d", hop, world.mood[hop]);
		us = sim_gap(2 * HOUR_US);
		for (; us > 0; us -= 10 * MINUTE_US) {
			co_sleep(us < 10 * MINUTE_US ? us : 10 * MINUTE_US);
			if (world.mood[hop] != MOOD_GOOD)
				oracle_trouble();
		}
	}
}

/* ---- clients ---- */

struct session {
	struct client *c;
	struct sock *s;
	char line[LINE];
	bool over; /* the connection */
};

/* The code of the next reply, 0: none came. */
static int
reply(struct session *x)
{
	int code;

	do {
		if (!sock_line(x->s, x->line, sizeof(x->line), REPLY_US)) {
			x->over = true;
			return 0;
		}
		sim_say("client %u < %s", x->c->number, x->line);
		code = atoi(x->line);
		if (code < 200 || code > 599)
			sim_fail("weir says: %s", x->line);
	} while (x->line[3] == '-');
	return code;
}

/* What clients do that they should not. True: the connection is over. */
static bool
misbehaves(struct session *x)
{
	if (world.calm || rules.calm || !sim_chance(10))
		return false;
	switch (sim_below(6)) {
	case 0:
		x->over = true;
		return true;
	case 1:
		co_sleep(sim_span(MINUTE_US, 12 * MINUTE_US));
		return false;
	case 2:
		sock_shutdown(x->s);
		return false;
	case 3:
		if (!sock_say(x->s, "HELP me %" PRIu64, sim_random()))
			x->over = true;
		else
			(void)reply(x);
		return x->over;
	case 4:
		co_sleep(2 * HOUR_US);
		x->over = true;
		return true;
	default:
		if (!sock_say(x->s, "NOOP"))
			x->over = true;
		else
			(void)reply(x);
		return x->over;
	}
}

static bool
send_text(struct session *x, const struct letter *l)
{
	size_t n, at = 0;
	char *text = letter_text(l, &n);
	struct buf out;
	bool sent = true;

	buf_init(&out, 4u << 20);
	while (at < n) {
		size_t end =
		    at + str_index((struct str){text + at, n - at}, '\n') + 1;

		if ((text[at] == '.' && !buf_append(&out, ".", 1)) ||
		    !buf_append(&out, text + at, end - at))
			panic("sim: a letter is too long");
		at = end;
	}
	if (!rules.calm && sim_chance(10)) { /* half of it, and gone */
		sent = sock_write(x->s, buf_str(&out).p, out.len / 2) && false;
	} else if (sim_chance(20)) { /* in two halves, late */
		size_t half = out.len / 2;

		sent = sock_write(x->s, buf_str(&out).p, half);
		co_sleep(sim_span(SECOND_US, 30 * SECOND_US));
		sent = sent &&
		       sock_write(x->s, buf_str(&out).p + half, out.len - half);
	} else {
		sent = sock_write(x->s, buf_str(&out).p, out.len);
	}
	buf_clear(&out);
	free(text);
	return sent;
}

enum outcome { DONE, LATER, NEVER };

/* The envelope; how many recipients were taken, -1: come again. */
static int
send_envelope(struct session *x, struct letter *l)
{
	bool pipelined = sim_chance(500);
	int taken = 0, later = 0, code;

	if (!sock_say(x->s, "MAIL FROM:<c%u@client.test>", x->c->number))
		return -1;
	if (!pipelined && reply(x) != 250)
		return -1;
	for (size_t i = 0; i < l->rcpt_count; i++) {
		if (!sock_say(x->s, "RCPT TO:<r%u@x.test>", l->rcpts[i].number))
			return -1;
		if (pipelined)
			continue;
		code = reply(x);
		l->rcpts[i].accepted = code == 250;
		taken += code == 250;
		later += code / 100 != 2 && code / 100 != 5;
		if (x->over || misbehaves(x))
			return -1;
	}
	if (pipelined) {
		code = reply(x);
		for (size_t i = 0; i < l->rcpt_count && !x->over; i++) {
			int to = reply(x);

			l->rcpts[i].accepted = to == 250;
			taken += to == 250;
			later += to / 100 != 2 && to / 100 != 5;
		}
		if (code != 250)
			return -1;
	}
	return x->over || (taken == 0 && later > 0) ? -1 : taken;
}

static enum outcome
send_letter(struct session *x, struct letter *l)
{
	int code, taken;

	letter_try(l);
	if (misbehaves(x))
		return LATER;
	taken = send_envelope(x, l);
	if (taken <= 0)
		return taken < 0 ? LATER : NEVER;
	if (!rules.calm && sim_chance(10)) {
		if (sock_say(x->s, "RSET"))
			(void)reply(x);
		return LATER;
	}
	if (!sock_say(x->s, "DATA"))
		return LATER;
	code = reply(x);
	if (code != 354)
		return code / 100 == 5 ? NEVER : LATER;
	if (!send_text(x, l)) {
		x->over = true;
		return LATER;
	}
	if (misbehaves(x))
		return LATER;
	if (!sock_write(x->s, ".\r\n", 3)) {
		x->over = true;
		return LATER;
	}
	code = reply(x);
	if (code == 0)
		oracle_unheard();
	if (code == 250) {
		oracle_heard();
		letter_owed(l);
		/* The worst of moments. */
		if (rules.wild && !world.calm && sim_chance(30))
			sim_kill_after(1 + sim_below(12));
		return DONE;
	}
	return code / 100 == 5 ? NEVER : LATER;
}

static bool
open_session(struct session *x)
{
	x->over = true;
	x->s = net_dial(PORT_IN, 0x0a000001 + x->c->number);
	if (x->s == NULL)
		return false;
	x->over = false;
	return reply(x) == 220 && sock_say(x->s, "EHLO client.test") &&
	       reply(x) == 250;
}

static void
end_session(struct session *x)
{
	if (x->s == NULL)
		return;
	if (!x->over && sim_chance(900) && sock_say(x->s, "QUIT"))
		(void)reply(x);
	sock_close(x->s, sim_chance(100));
	x->s = NULL;
}

/* One letter until it is taken, or it is old. */
static void
carry(struct session *x, struct letter *l)
{
	int tries = 0;

	for (;;) {
		enum outcome outcome = LATER;

		if (x->s != NULL || open_session(x))
			outcome = send_letter(x, l);
		if (outcome == DONE)
			break;
		end_session(x);
		if (outcome == NEVER || ++tries > 60 || world.calm)
			break;
		co_sleep(sim_gap(10 * MINUTE_US));
	}
	if (l->in_flight)
		letter_given_up(l);
}

static void
client_main(void *arg)
{
	struct session *x = xcalloc(1, sizeof(*x));

	x->c = arg;
	while (!world.calm) {
		unsigned n = sim_chance(700) ? 1 : 1 + (unsigned)sim_below(5);

		co_sleep(sim_gap(x->c->number < 2 ? HOUR_US : 40 * MINUTE_US));
		/* An outbreak. */
		if (x->c->number == 0 && sim_chance(20))
			n = 100;
		while (n-- > 0 && !world.calm)
			carry(x, letter_new(x->c, sim_now()));
		end_session(x);
	}
	free(x);
}

/* ---- administrators ---- */

bool
world_ask(const char *request, char *out, size_t cap)
{
	struct sock *s = net_dial_path(CONTROL);
	bool done = false;

	if (s == NULL)
		return false;
	sim_say("admin > %s", request);
	if (sock_write(s, request, strlen(request)) && sock_write(s, "\n", 1)) {
		while (!done && sock_line(s, out, cap, 5 * MINUTE_US))
			done = strstr(out, "\"done\":true") != NULL ||
			       strncmp(out, "{\"error\"", 8) == 0;
	}
	sim_say("admin < %s", done ? out : "nothing");
	sock_close(s, false);
	return done;
}

static bool
is_done(const char *answer)
{
	return strstr(answer, "\"done\":true") != NULL;
}

static void
check_status(char *line, size_t cap)
{
	struct sock *s = net_dial_path(CONTROL);

	if (s == NULL)
		return;
	if (sock_say(s, "{\"command\":\"status\"}") &&
	    sock_line(s, line, cap, MINUTE_US) &&
	    strncmp(line, "{\"row\"", 6) == 0)
		oracle_status(line);
	sock_close(s, false);
}

static void
freeze(struct client *c, char *line, size_t cap)
{
	char request[256];

	snprintf(request, sizeof(request),
	    "{\"command\":\"freeze\",\"sender\":\"10.0.0.%u\","
	    "\"reason\":\"sim\"}",
	    1 + c->number);
	if (world_ask(request, line, cap) && is_done(line) && c->frozen_at == 0)
		c->frozen_at = sim_now();
	totals.frozen++;
}

static void
thaw(struct client *c, const char *then, char *line, size_t cap)
{
	char request[256];

	c->frozen_at = 0;
	if (strstr(then, "release") != NULL)
		oracle_release();
	if (strstr(then, "discard") != NULL) {
		c->discarding = true;
		oracle_discard(c);
	}
	snprintf(request, sizeof(request),
	    "{\"command\":\"thaw\",\"sender\":\"10.0.0.%u\"%s}", 1 + c->number,
	    then);
	(void)world_ask(request, line, cap);
	if (strstr(then, "release") != NULL)
		oracle_release();
	if (c->discarding)
		oracle_discard(c);
	c->discarding = false;
}

static void
by_id(const char *command, char *line, size_t cap)
{
	char request[256], id[16];

	if (!oracle_pick(id, strcmp(command, "discard") == 0))
		return;
	snprintf(request, sizeof(request),
	    "{\"command\":\"%s\",\"ids\":[\"%s\"]}", command, id);
	(void)world_ask(request, line, cap);
}

static void
admin_main(void *arg)
{
	static char line[1 << 20];

	(void)arg;
	while (!world.calm) {
		struct client *c = &clients[sim_below(CLIENTS)];

		co_sleep(sim_gap(2 * HOUR_US));
		if (world.calm)
			break;
		switch (sim_below(rules.calm ? 2 : 12)) {
		case 0:
			check_status(line, sizeof(line));
			break;
		case 1:
			(void)world_ask(
			    "{\"command\":\"queue\"}", line, sizeof(line));
			break;
		case 2:
			freeze(c, line, sizeof(line));
			break;
		case 3:
		case 4:
			thaw(c, "", line, sizeof(line));
			break;
		case 5:
			if (sim_chance(300))
				thaw(c, ",\"then\":\"release\"", line,
				    sizeof(line));
			else if (sim_chance(300))
				thaw(c, ",\"then\":\"discard\"", line,
				    sizeof(line));
			break;
		case 6:
			by_id("discard", line, sizeof(line));
			break;
		case 7:
			by_id("release", line, sizeof(line));
			break;
		case 8:
			(void)world_ask(
			    "{\"command\":\"reload\"}", line, sizeof(line));
			break;
		case 9:
			if (!sim_chance(200))
				break;
			oracle_release();
			(void)world_ask(
			    "{\"command\":\"release\",\"all\":true}", line,
			    sizeof(line));
			oracle_release();
			break;
		case 10:
			(void)world_ask(
			    "{\"command\":\"senders\"}", line, sizeof(line));
			break;
		default:
			(void)world_ask(
			    "{\"command\":\"problems\"}", line, sizeof(line));
			break;
		}
	}
}

void
world_thaw_all(void)
{
	static char line[1 << 20];

	for (size_t i = 0; i < CLIENTS; i++)
		thaw(&clients[i], "", line, sizeof(line));
}

/* ---- the machine ---- */

static void
machine_main(void *arg)
{
	(void)arg;
	while (!world.calm) {
		int64_t ms;

		co_sleep(sim_gap((rules.wild ? 1 : 12) * HOUR_US));
		if (world.calm)
			break;
		totals.faults++;
		oracle_trouble();
		switch (sim_below(4)) {
		case 0: /* the disk is full for a while */
			sim_say("machine: the disk is full");
			disk_set_limit(disk_used() + sim_below(3000000));
			co_sleep(sim_gap(20 * MINUTE_US));
			disk_set_limit(0);
			oracle_trouble();
			sim_say("machine: the disk has room");
			break;
		case 1:
			disk_fail_sync(1 + (unsigned)sim_below(20));
			break;
		case 2: /* the clock is set */
			ms = sim_span(-3600000, 3600000);
			sim_say(
			    "machine: the clock steps by %" PRId64 " ms", ms);
			sim_step_wall(ms);
			oracle_step(ms);
			break;
		default:
			break;
		}
	}
	disk_set_limit(0);
	disk_fail_sync(0);
}

static void
checks_main(void *arg)
{
	(void)arg;
	for (;;) {
		co_sleep(HOUR_US);
		oracle_check(true);
	}
}

void
world_start(void)
{
	for (size_t i = 0; i < HOPS; i++) {
		net_serve(
		    (uint16_t)(PORT_HOP + i), on_call, (void *)(uintptr_t)i);
		if (!rules.calm)
			co_start(moods_main, (void *)(uintptr_t)i, false);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].number = i;
		co_start(client_main, &clients[i], false);
	}
	co_start(admin_main, NULL, false);
	if (!rules.calm)
		co_start(machine_main, NULL, false);
	co_start(checks_main, NULL, false);
}

void
world_calm(void)
{
	world.calm = true;
	disk_set_limit(0);
	disk_fail_sync(0);
}
