/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of the server are a table; unknown ones are ignored, as the protocol
 * asks. A field's value may be escaped with \001 (Dovecot's tab escaping).
 */
#include "smtp/dovecot.h"

#include <stdlib.h>

#define LINE_MAX_BYTES 16384
#define VERSION_MAJOR 1

struct dovecot {
	const struct dovecot_ops *ops;
	void *arg;
	struct buf in;
	unsigned mechs;
	bool ready, version_seen, broken;
};

static void
say(struct dovecot *d, struct buf *line)
{
	d->ops->write(d->arg, buf_str(line).p, line->len);
	sasl_wipe(line);
}

struct dovecot *
dovecot_new(const struct dovecot_ops *ops, void *arg, uint32_t process_id)
{
	struct dovecot *d = xcalloc(1, sizeof(*d));
	struct buf hello;

	d->ops = ops;
	d->arg = arg;
	buf_init(&d->in, LINE_MAX_BYTES);
	buf_init(&hello, 128);
	if (!buf_printf(&hello, "VERSION\t%d\t1\nCPID\t%u\n", VERSION_MAJOR,
		(unsigned)process_id))
		panic("dovecot: no room for the hello");
	say(d, &hello);
	return d;
}

void
dovecot_free(struct dovecot *d)
{
	if (d == NULL)
		return;
	buf_clear(&d->in);
	free(d);
}

bool
dovecot_is_ready(const struct dovecot *d)
{
	return d->ready;
}

static void
on_version(struct dovecot *d, struct str fields)
{
	uint64_t major;

	d->version_seen = str_to_u64(str_cut(&fields, '\t'), &major) &&
			  major == VERSION_MAJOR;
	d->broken = !d->version_seen;
}

static void
on_mech(struct dovecot *d, struct str fields)
{
	d->mechs |= (unsigned)sasl_mech_find(str_cut(&fields, '\t'));
}

static void
on_done(struct dovecot *d, struct str fields)
{
	(void)fields;
	if (!d->version_seen) {
		d->broken = true;
		return;
	}
	d->ready = true;
	d->ops->on_ready(d->arg, d->mechs);
}

static bool
take_id(struct str *fields, uint32_t *id)
{
	uint64_t n;

	if (!str_to_u64(str_cut(fields, '\t'), &n) || n > UINT32_MAX)
		return false;
	*id = (uint32_t)n;
	return true;
}

static void
answer(struct dovecot *d, struct str fields, enum dovecot_what what)
{
	struct dovecot_answer a = {.what = what};

	if (!d->ready || !take_id(&fields, &a.id)) {
		d->broken = true;
		return;
	}
	if (what == DOVECOT_CONTINUE)
		a.challenge = str_cut(&fields, '\t');
	while (what != DOVECOT_CONTINUE && fields.n > 0) {
		struct str field = str_cut(&fields, '\t');
		struct str name = str_cut(&field, '=');

		if (str_eq(name, STR("user")))
			a.user = field;
		if (str_eq(name, STR("temp")))
			a.temporary = true;
	}
	d->ops->on_answer(d->arg, &a);
}

static void
on_cont(struct dovecot *d, struct str fields)
{
	answer(d, fields, DOVECOT_CONTINUE);
}

static void
on_ok(struct dovecot *d, struct str fields)
{
	answer(d, fields, DOVECOT_OK);
}

static void
on_fail(struct dovecot *d, struct str fields)
{
	answer(d, fields, DOVECOT_FAIL);
}

static void
on_line(struct dovecot *d, struct str line)
{
	static const struct {
		struct str name;
		void (*fn)(struct dovecot *d, struct str fields);
	} commands[] = {
	    {STR("VERSION"), on_version},
	    {STR("MECH"), on_mech},
	    {STR("DONE"), on_done},
	    {STR("CONT"), on_cont},
	    {STR("OK"), on_ok},
	    {STR("FAIL"), on_fail},
	};
	struct str name = str_cut(&line, '\t');

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (str_eq(name, commands[i].name)) {
			commands[i].fn(d, line);
			return;
		}
	}
}

bool
dovecot_feed(struct dovecot *d, const char *p, size_t n)
{
	struct str in = {p, n}, line;
	size_t end;

	while (in.n > 0 && !d->broken) {
		end = str_index(in, '\n');
		if (!buf_append_str(&d->in, str_sub(in, 0, end)))
			return false;
		if (end == in.n)
			break;
		in = str_sub(in, end + 1, in.n);
		line = buf_str(&d->in);
		on_line(d, line);
		buf_reset(&d->in);
	}
	buf_trim(&d->in);
	return !d->broken;
}

static bool
append_ip(struct buf *out, const char *name, const struct ip *ip)
{
	char text[IP_TEXT_MAX];

	return ip->family == IP_NONE ||
	       buf_printf(out, "\t%s=%s", name, ip_format(ip, text));
}

static bool
append_port(struct buf *out, const char *name, uint16_t port)
{
	return port == 0 || buf_printf(out, "\t%s=%u", name, (unsigned)port);
}

/* Base64 and "=" alone were let in: no tab and no line end can be in it. */
void
dovecot_auth(struct dovecot *d, uint32_t id, enum sasl_mech mech,
    const struct dovecot_client *client, bool has_initial, struct str initial)
{
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	if (str_eq(initial, STR("=")))
		initial = STR("");
	if (!buf_printf(&line, "AUTH\t%u\t%s\tservice=smtp", (unsigned)id,
		sasl_mech_name(mech)) ||
	    !append_ip(&line, "lip", &client->local) ||
	    !append_ip(&line, "rip", &client->remote) ||
	    !append_port(&line, "lport", client->local_port) ||
	    !append_port(&line, "rport", client->remote_port) ||
	    (client->secure && !buf_append_str(&line, STR("\tsecured"))) ||
	    (has_initial && (!buf_append_str(&line, STR("\tresp=")) ||
				!buf_append_str(&line, initial))) ||
	    !buf_append(&line, "\n", 1))
		panic("dovecot: a request does not fit");
	say(d, &line);
}

void
dovecot_continue(struct dovecot *d, uint32_t id, struct str response)
{
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	if (!buf_printf(&line, "CONT\t%u\t", (unsigned)id) ||
	    !buf_append_str(&line, response) || !buf_append(&line, "\n", 1))
		panic("dovecot: a response does not fit");
	say(d, &line);
}

void
dovecot_cancel(struct dovecot *d, uint32_t id)
{
	struct buf line;

	buf_init(&line, 64);
	if (!buf_printf(&line, "CANCEL\t%u\n", (unsigned)id))
		panic("dovecot: a cancel does not fit");
	say(d, &line);
}
