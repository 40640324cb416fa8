/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * learn: whom senders know, from logs or from another machine. Rows are taken
 * in their order, until one finds no memory: the client sends the rest again,
 * when those before it are on disk.
 */
#include "maild/control_private.h"

#include "base/units.h"
#include "os/clock.h"
#include "smtp/address.h"

#include <errno.h>
#include <stdio.h>

#define BAD_MAX 20 /* rows whose fault is told; then the rest is left */

static const char *
learn_row(struct gate_import *im, const struct control_pair *p,
    enum gate_imported *got)
{
	struct smtp_path path;
	int64_t last;

	*got = GATE_IMPORT_NOBODY;
	if (!units_parse_time(str_from(p->time), &last))
		return "the time is not like 2026-01-02T03:04:05Z or "
		       "2026-01-02";
	if (smtp_path_parse_given(str_from(p->recipient), false, &path) !=
	    SMTP_PATH_OK)
		return "the recipient is not an address";
	*got = gate_import_add(im, str_from(p->sender), path.address, last);
	switch (*got) {
	case GATE_IMPORT_FUTURE:
		return "the time is in the future";
	case GATE_IMPORT_NOBODY:
		return "not a valid sender name";
	case GATE_IMPORT_NONE_KEPT:
		return "no recipients are remembered for this sender: "
		       "acquaintances_memory or its policy's familiar_for is "
		       "0, or the policy has no familiar recipients";
	case GATE_IMPORT_TAKEN:
	case GATE_IMPORT_OLD:
	case GATE_IMPORT_FULL:
		break;
	}
	return NULL;
}

static void
on_saved(void *arg, int error, uint64_t count)
{
	struct control_conn *c = arg;
	json_t *done = c->kept;

	if (!control_resume(c))
		return;
	c->kept = NULL;
	if (error != 0) {
		json_decref(done);
		control_fail_errno(c, error);
		return;
	}
	if (count > 0)
		control_log_change(c, count);
	control_done(c, done);
}

void
control_learn(struct control_conn *c, int64_t now)
{
	const struct control_request *r = &c->request;
	uint64_t learnt = 0, old = 0;
	struct gate_import *im = gate_import_new(
	    control_parts(c)->gate, c->who, now, clock_wall_ms());
	json_t *bad = json_array();
	size_t i = 0;

	for (; i < r->pair_count && json_array_size(bad) < BAD_MAX; i++) {
		enum gate_imported got;
		const char *why = learn_row(im, &r->pairs[i], &got);

		if (why != NULL)
			json_array_append_new(
			    bad, json_pack("{s:I, s:s}", "row", (json_int_t)i,
				     "why", why));
		else if (got == GATE_IMPORT_FULL)
			break;
		learnt += got == GATE_IMPORT_TAKEN;
		old += got == GATE_IMPORT_OLD;
	}
	c->kept =
	    json_pack("{s:I, s:I, s:I, s:o}", "taken", (json_int_t)i, "learnt",
		(json_int_t)learnt, "too_old", (json_int_t)old, "bad", bad);
	control_wait(c);
	gate_import_end(im, on_saved, c);
}
