/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rspamd's history: a JSON object for each scan, with all recipients where the
 * Redis plugin keeps it. rspamd's own log cuts its lists, and the history of
 * the controller alone has none, so that neither serves; they are known here so
 * that the user is told.
 */
#include "replay/reader_json.h"

#include <stdio.h>

#define ID_MAX 400

static bool
rspamd_knows(const struct head_line *line)
{
	if (reader_has(line->text, STR("rspamd_task_write_log: id: ")))
		return true;
	return line->at == HEAD_NO_TIME && line->text.n > 0 &&
	       line->text.p[0] == '{' &&
	       reader_has(line->text, STR("\"unix_time\"")) &&
	       reader_has(line->text, STR("\"required_score\""));
}

static struct str
known(struct str s)
{
	return str_eq(s, STR("unknown")) ? STR("") : s;
}

/* Of this action nothing was sent, or not yet. */
static bool
is_refused(const json_t *o)
{
	struct str action = reader_json_text(o, "action");

	return str_eq(action, STR("reject")) ||
	       str_eq(action, STR("soft reject")) ||
	       str_eq(action, STR("greylist")) ||
	       str_eq(action, STR("discard"));
}

/* Message-IDs are the sender's to choose, and may come again. */
static struct str
make_id(const json_t *o, const struct reader_record *r, char out[ID_MAX])
{
	struct str id = reader_json_text(o, "message-id");
	int n = snprintf(out, ID_MAX, "%lld %.*s %.*s", (long long)r->at,
	    (int)(r->user.n < 100 ? r->user.n : 100), r->user.p,
	    (int)(id.n < 200 ? id.n : 200), id.p);

	return (struct str){out, (size_t)n};
}

static enum reader_use
take_scan(const json_t *o, reader_emit_fn *emit, void *arg)
{
	const json_t *to = json_object_get(o, "rcpt_smtp");
	struct str sender = reader_json_text(o, "sender_smtp");
	struct reader_record r = {
	    .kind = READER_BEGIN,
	    .user = known(reader_json_text(o, "user")),
	    .address = known(sender),
	    .has_sender = sender.n > 0 && known(sender).n > 0,
	};
	char id[ID_MAX];

	if (!reader_json_seconds(o, "unix_time", &r.at))
		return READER_STRANGE;
	if (!json_is_array(to))
		return READER_NOTE;
	if (is_refused(o))
		return READER_REJECTED;
	r.id = make_id(o, &r, id);
	r.has_client = ip_parse(reader_json_text(o, "ip"), &r.client);
	emit(arg, &r);
	r.user = STR("");
	reader_json_recipients(&r, to, emit, arg);
	r.kind = READER_END;
	emit(arg, &r);
	return READER_USED;
}

static enum reader_use
rspamd_take(
    void *state, const struct head_line *line, reader_emit_fn *emit, void *arg)
{
	json_t *o = reader_json_parse(line->text);
	enum reader_use use = READER_STRANGE;

	(void)state;
	if (o != NULL)
		use = take_scan(o, emit, arg);
	else if (line->at != HEAD_NO_TIME)
		use = READER_NOTE;
	json_decref(o);
	return use;
}

const struct reader reader_rspamd = {
    .name = "rspamd",
    .cannot = "more than the last scans (nrows of the module history_redis, "
	      "200 by default), nor the null sender apart from one that is not "
	      "known",
    .empty = "of rspamd only the history that its module history_redis keeps "
	     "names all recipients (GET /history of the controller); its log "
	     "cuts the lists, and the history without that module has none",
    .knows = rspamd_knows,
    .take = rspamd_take,
};
