/* SPDX-License-Identifier: BSD-3-Clause */
#include "os/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PRINT_MAX 2048

const char *const tap_part_name[TAP_PARTS] = {
#define TAP_NAME(id, name, doc) name,
    TAP_TABLE(TAP_NAME)
#undef TAP_NAME
};

struct tap {
	struct log *log;
	struct ip_ranges *clients; /* NULL: none */
	struct list followers;
};

struct tap *
tap_new(struct log *log)
{
	struct tap *t = xcalloc(1, sizeof(*t));

	t->log = log;
	list_init(&t->followers);
	log_set_tap(log, t);
	return t;
}

void
tap_free(struct tap *t)
{
	if (t == NULL)
		return;
	if (!list_is_empty(&t->followers))
		panic("tap: freed with a follower");
	log_set_tap(t->log, NULL);
	ip_ranges_free(t->clients);
	free(t);
}

void
tap_configure(struct tap *t, struct ip_ranges *clients)
{
	ip_ranges_free(t->clients);
	t->clients = clients;
}

bool
tap_filter_parse(struct str what, struct tap_filter *out)
{
	if (what.n == 0 || what.n >= sizeof(out->what))
		return false;
	*out = (struct tap_filter){0};
	out->is_net = ip_net_parse(what, &out->net);
	(void)str_copy(what, out->what, sizeof(out->what));
	return true;
}

void
tap_follow(struct tap *t, struct tap_follower *f)
{
	list_append(&t->followers, &f->entry);
}

void
tap_unfollow(struct tap_follower *f)
{
	list_remove(&f->entry);
}

bool
tap_is_on(const struct tap *t)
{
	return t != NULL &&
	       (t->clients != NULL || !list_is_empty(&t->followers));
}

/* <a@b>, as a sender by its envelope is shown, is a@b. */
static struct str
bare(struct str name)
{
	if (name.n > 2 && name.p[0] == '<' && name.p[name.n - 1] == '>')
		return str_sub(name, 1, name.n - 2);
	return name;
}

static bool
is_named(const char *name, const struct tap_filter *f)
{
	return name != NULL &&
	       str_ieq(bare(str_from(name)), bare(str_from(f->what)));
}

static bool
fits(const struct tap_filter *f, const struct tap_who *who)
{
	if (f->is_net && who->client != NULL &&
	    ip_net_has(&f->net, who->client))
		return true;
	return is_named(who->sender, f) || is_named(who->from, f) ||
	       is_named(who->hop, f);
}

/* NULL where it is not known, which leaves the key out. */
static const char *
known(const char *value)
{
	return value != NULL && value[0] != '\0' ? value : NULL;
}

static void
log_line(struct tap *t, const struct tap_line *line)
{
	static const enum log_event_id lines[TAP_PARTS] = {
#define TAP_LINE(id, name, doc) [TAP_##id] = LOG_EV_TRACE_##id,
	    TAP_TABLE(TAP_LINE)
#undef TAP_LINE
	};
	const struct tap_who *who = line->who;

	log_write(t->log, lines[line->part], KV(client, who->client),
	    KV(sender, known(who->sender)), KV(id, known(who->id)),
	    KV(next_hop, known(who->hop)), KV(text, line->text));
}

static void
report_line(struct tap *t, const struct tap_line *line)
{
	struct list *entry, *next;

	if (t->clients != NULL && line->who->client != NULL &&
	    ip_ranges_have(t->clients, line->who->client))
		log_line(t, line);
	list_each_safe (entry, next, &t->followers) {
		struct tap_follower *f =
		    LIST_ITEM(entry, struct tap_follower, entry);

		if (fits(&f->filter, line->who))
			f->on_line(f->arg, line);
	}
}

void
tap_write(struct tap *t, const struct tap_who *who, enum tap_part part,
    struct str text)
{
	if (!tap_is_on(t))
		return;
	do {
		struct tap_line line = {
		    .who = who, .part = part, .text = str_cut(&text, '\n')};

		if (line.text.n > 0 && line.text.p[line.text.n - 1] == '\r')
			line.text.n--;
		report_line(t, &line);
	} while (text.n > 0);
}

void
tap_print(struct tap *t, const struct tap_who *who, enum tap_part part,
    const char *fmt, ...)
{
	char text[PRINT_MAX];
	va_list ap;
	int n;

	if (!tap_is_on(t))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	tap_write(t, who, part,
	    (struct str){
		text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1});
}
