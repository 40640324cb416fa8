/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KumoMTA's log: a JSON object a line. A Reception names who sent and to whom,
 * and is all that counts; what became of a message, and what another node
 * handed over (XferIn), is left out. The login is among the values that the
 * logger was told to keep (meta).
 */
#include "replay/reader_json.h"

static bool
kumomta_knows(const struct head_line *line)
{
	return line->at == HEAD_NO_TIME &&
	       str_starts(line->text, STR("{\"type\":\"")) &&
	       reader_has(line->text, STR("\"nodeid\":\""));
}

/* A tenant stands for the programs that send under its name. */
static struct str
login_of(const json_t *o)
{
	static const char *const keys[] = {"authz_id", "authn_id", "tenant"};
	const json_t *meta = json_object_get(o, "meta");
	struct str user = STR("");

	for (size_t i = 0; i < ARRAY_LEN(keys) && user.n == 0; i++)
		user = reader_json_text(meta, keys[i]);
	return user;
}

static bool
take_time(const json_t *o, int64_t *out)
{
	struct str text = reader_json_text(o, "event_time");
	struct stamp_clock clock;

	stamp_init(&clock, 0, 0);
	return stamp_take_iso(&clock, &text, out) ||
	       reader_json_seconds(o, "timestamp", out);
}

static bool
take_reception(const json_t *o, reader_emit_fn *emit, void *arg)
{
	struct reader_record r = {
	    .kind = READER_BEGIN,
	    .is_unique = true,
	    .has_sender = true,
	    .id = reader_json_text(o, "id"),
	    .user = login_of(o),
	    .address = reader_json_text(o, "sender"),
	};

	if (r.id.n == 0 || !take_time(o, &r.at))
		return false;
	r.has_client = ip_parse(
	    reader_json_text(json_object_get(o, "peer_address"), "addr"),
	    &r.client);
	emit(arg, &r);
	r.user = STR("");
	reader_json_recipients(&r, json_object_get(o, "recipient"), emit, arg);
	/* Others of it may follow within a moment. */
	r.kind = READER_END;
	emit(arg, &r);
	return true;
}

static enum reader_use
take_object(const json_t *o, reader_emit_fn *emit, void *arg)
{
	struct str type = reader_json_text(o, "type");

	if (str_eq(type, STR("Reception")))
		return take_reception(o, emit, arg) ? READER_USED
						    : READER_STRANGE;
	if (str_eq(type, STR("Rejection")))
		return READER_REJECTED;
	if (str_eq(type, STR("Bounce")) || str_eq(type, STR("OOB")) ||
	    str_eq(type, STR("AdminBounce")))
		return READER_BOUNCE;
	return type.n > 0 ? READER_NOTE : READER_STRANGE;
}

static enum reader_use
kumomta_take(
    void *state, const struct head_line *line, reader_emit_fn *emit, void *arg)
{
	json_t *o = reader_json_parse(line->text);
	enum reader_use use = READER_STRANGE;

	(void)state;
	if (o != NULL)
		use = take_object(o, emit, arg);
	json_decref(o);
	return use;
}

const struct reader reader_kumomta = {
    .name = "kumomta",
    .cannot = "which recipients were those of one message, where each has an "
	      "id of its own; nor the login, unless the logger keeps authz_id "
	      "or authn_id (meta): a tenant then stands for it, else the "
	      "client's address",
    .empty = "the logger of KumoMTA must write Reception records",
    .knows = kumomta_knows,
    .take = kumomta_take,
};
