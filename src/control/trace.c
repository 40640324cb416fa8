/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace: what one client, sender or next hop says and is answered, from now on.
 * Who does not take the lines is dropped.
 */
#include "config.h"

#include "control/control.h"
#include "os/clock.h"
#include "os/tap.h"

static json_t *
row_of(const struct tap_line *line)
{
	const struct tap_who *who = line->who;
	char ip[IP_TEXT_MAX] = "";

	if (who->client != NULL)
		(void)ip_format(who->client, ip);
	return json_pack("{s:o, s:s, s:s, s:o, s:o, s:s, s:o}", "at",
	    control_time(clock_wall_ms()), "part", tap_part_name[line->part],
	    "client", ip, "sender",
	    control_text(who->sender != NULL ? who->sender : ""), "next_hop",
	    control_text(who->hop != NULL ? who->hop : ""), "id", who->id,
	    "text", control_bytes(line->text, line->text.n));
}

static void
on_line(void *arg, const struct tap_line *line)
{
	struct control_conn *c = arg;

	if (control_send(c, "event", row_of(line)))
		return;
	control_report_dropped(c);
	control_conn_end(c);
}

static void
on_until(void *arg, int64_t now)
{
	struct control_conn *c = arg;

	(void)now;
	tap_unfollow(&c->tap);
	c->is_following = false;
	control_done(c, NULL);
}

void
control_trace_init(struct control_conn *c)
{
	list_init(&c->tap.entry);
	loop_timer_init(&c->until, c->control->server.loop, on_until, c);
}

void
control_trace(struct control_conn *c, int64_t now)
{
	struct tap *tap = log_tap(c->control->server.log);

	if (!tap_filter_parse(str_from(c->request.term), &c->tap.filter)) {
		control_fail(c, CONTROL_USAGE,
		    "term: an address or network of clients, a sender, or a "
		    "next hop as status names it");
		return;
	}
	c->is_following = true;
	c->tap.on_line = on_line;
	c->tap.arg = c;
	tap_follow(tap, &c->tap);
	log_write(c->control->server.log, LOG_EV_CONTROL_TRACE, KV(by, c->who),
	    KV(target, c->request.term));
	if (c->request.given & CONTROL_FOR)
		loop_timer_set(&c->until, now + c->request.for_ms);
}
