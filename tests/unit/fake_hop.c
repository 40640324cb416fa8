/* SPDX-License-Identifier: BSD-3-Clause */
/* The scripted next hop: see fake_hop.h. */
#include "fake_hop.h"

#include "base/buf.h"
#include "net/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX (64u << 20)

struct fake_session {
	struct list entry;
	struct fake *fake;
	struct conn *conn;
	bool in_data, has_mail;
	struct buf body;
	struct fake_message m;
};

static void
end_session(struct fake_session *s, int64_t linger_ms)
{
	s->fake->open--;
	list_remove(&s->entry);
	conn_close(s->conn, linger_ms);
	buf_clear(&s->body);
	free(s);
}

static struct fake_rule *
find_rule(struct fake *f, struct str line)
{
	for (int i = 0; i < FAKE_RULES_MAX; i++) {
		struct fake_rule *r = &f->rules[i];
		struct str command = str_from(r->command);

		if (r->reply == NULL || r->times == 0 ||
		    !str_istarts(line, command) ||
		    (command.n == 0) != (line.n == 0))
			continue;
		if (r->after > 0) {
			r->after--;
			return NULL;
		}
		if (r->times > 0)
			r->times--;
		return r;
	}
	return NULL;
}

/* False: the session is gone. */
static bool
answer(struct fake_session *s, const char *reply)
{
	if (strcmp(reply, FAKE_CLOSE) == 0) {
		end_session(s, 0);
		return false;
	}
	if (strcmp(reply, FAKE_SILENT) != 0) {
		(void)conn_write(s->conn, reply, strlen(reply));
		(void)conn_write(s->conn, "\r\n", 2);
	}
	return true;
}

static void
take_address(struct str line, char *out, size_t cap)
{
	size_t from = str_index(line, '<') + 1, to = str_index(line, '>');
	size_t used = strlen(out);

	if (used > 0 && used + 1 < cap)
		out[used++] = ' ';
	if (to >= from)
		str_copy(
		    str_sub(line, from, to - from), out + used, cap - used);
}

static const char *
proper_reply(struct fake_session *s, struct str line)
{
	if (str_istarts(line, STR("EHLO")))
		return s->fake->ehlo;
	if (str_istarts(line, STR("MAIL"))) {
		s->m = (struct fake_message){0};
		s->has_mail = true;
		take_address(line, s->m.from, sizeof(s->m.from));
		str_copy(line, s->m.mail, sizeof(s->m.mail));
	} else if (str_istarts(line, STR("RCPT"))) {
		if (s->has_mail || s->fake->naive)
			take_address(line, s->m.rcpts, sizeof(s->m.rcpts));
		return s->has_mail || s->fake->naive ? "250 2.1.5 fine"
						     : "503 5.5.1 MAIL first";
	} else if (str_istarts(line, STR("DATA"))) {
		if (s->m.rcpts[0] == '\0' && !s->fake->naive)
			return "554 5.5.1 no valid recipients";
		s->in_data = true;
		return "354 go on";
	} else if (str_istarts(line, STR("RSET"))) {
		s->fake->resets++;
		s->m = (struct fake_message){0};
		s->has_mail = false;
	} else if (str_istarts(line, STR("QUIT"))) {
		s->fake->quits++;
		return "221 bye";
	}
	return "250 2.0.0 fine";
}

static void
keep_message(struct fake_session *s)
{
	struct fake *f = s->fake;

	if (f->message_count < FAKE_MESSAGES_MAX) {
		struct fake_message *m = &f->messages[f->message_count];

		*m = s->m;
		m->body_size = s->body.len;
		m->body = buf_take(&s->body);
	}
	f->message_count++;
	buf_clear(&s->body);
}

/* Takes what of *in belongs to the message. False: the session is gone. */
static bool
take_data(struct fake_session *s, struct str *in)
{
	size_t n = str_index(*in, '\n');
	struct fake_rule *rule;
	struct str body;

	n += n < in->n;
	if (!buf_append(&s->body, in->p, n))
		panic("fake: message too big");
	*in = str_sub(*in, n, in->n);
	body = buf_str(&s->body);
	if (s->fake->cut != NULL && body.n >= s->fake->cut_at) {
		(void)answer(s, s->fake->cut);
		end_session(s, 100);
		return false;
	}
	if (!(body.n == 3 && str_eq(body, STR(".\r\n"))) &&
	    !str_iends(body, STR("\r\n.\r\n")))
		return true;
	s->body.len -= 3;
	s->in_data = s->has_mail = false;
	rule = find_rule(s->fake, STR(FAKE_END));
	if (rule == NULL || rule->reply[0] == '2' ||
	    strcmp(rule->reply, FAKE_CLOSE) == 0)
		keep_message(s);
	buf_reset(&s->body);
	s->m = (struct fake_message){0};
	return answer(s, rule != NULL ? rule->reply : "250 2.0.0 queued");
}

static bool
take_line(struct fake_session *s, struct str line)
{
	struct fake_rule *rule = find_rule(s->fake, line);

	return answer(s, rule != NULL ? rule->reply : proper_reply(s, line));
}

static void
on_read(void *arg, int64_t now)
{
	struct fake_session *s = arg;
	struct conn *conn = s->conn;
	struct str in = conn_input(conn);
	size_t whole = in.n, end;

	(void)now;
	while (in.n > 0) {
		if (s->in_data) {
			if (!take_data(s, &in))
				return;
			continue;
		}
		end = str_index(in, '\n');
		if (end >= in.n)
			break;
		if (!take_line(s, str_sub(in, 0, end > 0 ? end - 1 : 0)))
			return;
		in = str_sub(in, end + 1, in.n);
	}
	conn_consume(conn, whole - in.n);
}

static void
on_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
on_end(void *arg, enum conn_end why, int error, int64_t now)
{
	(void)why;
	(void)error;
	(void)now;
	end_session(arg, 0);
}

static const struct conn_ops ops = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_end = on_end,
};

static void
on_accept(void *arg, int fd, const struct net_addr *peer, int64_t now)
{
	struct fake *f = arg;
	struct fake_session *s = xcalloc(1, sizeof(*s));
	struct fake_rule *rule = find_rule(f, STR(FAKE_OPEN));

	(void)peer;
	(void)now;
	s->fake = f;
	buf_init(&s->body, BODY_MAX);
	s->conn = conn_new(f->loop, fd, &ops, s);
	list_append(&f->sessions, &s->entry);
	f->connects++;
	f->open++;
	(void)answer(s, rule != NULL ? rule->reply : "220 fake ESMTP");
}

static _Noreturn void
on_trouble(void *arg, int error, int64_t now)
{
	(void)arg;
	(void)now;
	panic("fake: accept: %s", strerror(error));
}

static void
listen_on(struct fake *f, const char *address)
{
	const struct listener_options options = {
	    .backlog = 128, .unix_gid = -1};
	struct net_addr addr;
	char err[256];

	if (!net_addr_parse(str_from(address), &addr, err, sizeof(err)) ||
	    (f->listener = listener_new(&addr, &options, err, sizeof(err))) ==
		NULL)
		panic("fake: %s", err);
	net_addr_format(listener_addr(f->listener), f->address);
	listener_start(f->listener, f->loop, on_accept, on_trouble, f);
}

struct fake *
fake_new(struct loop *l)
{
	struct fake *f = xcalloc(1, sizeof(*f));

	f->loop = l;
	f->ehlo = "250-fake\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-DSN\r\n"
		  "250-ENHANCEDSTATUSCODES\r\n250 8BITMIME";
	list_init(&f->sessions);
	listen_on(f, "127.0.0.1:0");
	return f;
}

void
fake_stop(struct fake *f)
{
	listener_free(f->listener);
	f->listener = NULL;
}

void
fake_start(struct fake *f)
{
	char address[NET_ADDR_TEXT_MAX];

	memcpy(address, f->address, sizeof(address));
	listen_on(f, address);
}

void
fake_kick_out(struct fake *f, const char *last)
{
	while (!list_is_empty(&f->sessions)) {
		struct fake_session *s =
		    LIST_ITEM(f->sessions.next, struct fake_session, entry);

		if (last != NULL)
			(void)answer(s, last);
		end_session(s, 100);
	}
}

void
fake_free(struct fake *f)
{
	fake_kick_out(f, NULL);
	if (f->listener != NULL)
		listener_free(f->listener);
	for (int i = 0; i < FAKE_MESSAGES_MAX; i++)
		free(f->messages[i].body);
	free(f);
}

void
fake_rule(struct fake *f, const char *command, const char *reply, int times,
    int after)
{
	for (int i = 0; i < FAKE_RULES_MAX; i++) {
		if (f->rules[i].reply != NULL)
			continue;
		f->rules[i] = (struct fake_rule){command, reply, times, after};
		return;
	}
	panic("fake: too many rules");
}

void
fake_clear_rules(struct fake *f)
{
	memset(f->rules, 0, sizeof(f->rules));
}
