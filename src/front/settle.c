/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A settle outlives the transaction that asked for it, not the front end.
 */
#include "front/settle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_MS 1000

struct settle {
	struct list entry; /* of its owner, who frees what is left */
	struct loop *loop;
	struct spool *spool;
	struct log *log;
	struct loop_timer timer;
	uint64_t id;
	bool keep;
};

static void
settle_free(struct settle *st)
{
	list_remove(&st->entry);
	loop_timer_clear(&st->timer);
	free(st);
}

void
settle_free_all(struct list *pending)
{
	while (!list_is_empty(pending))
		settle_free(LIST_ITEM(pending->next, struct settle, entry));
}

static void
on_settled(void *arg, int error)
{
	struct settle *st = arg;
	char id[SPOOL_ID_TEXT];

	if (error != 0 && error != ENOENT) {
		log_write(st->log, LOG_EV_SMTP_SETTLE_FAILED,
		    KV(id, spool_id_format(st->id, id)), KV(keep, st->keep),
		    KV(error, strerror(error)));
		loop_timer_set(&st->timer, loop_now(st->loop) + RETRY_MS);
		return;
	}
	settle_free(st);
}

static void
on_retry(void *arg, int64_t now)
{
	struct settle *st = arg;

	(void)now;
	spool_settle(st->spool, st->id, st->keep, on_settled, st);
}

void
settle_message(struct list *pending, struct loop *loop, struct spool *spool,
    struct log *log, uint64_t id, bool keep)
{
	struct settle *st = xcalloc(1, sizeof(*st));

	*st = (struct settle){
	    .loop = loop, .spool = spool, .log = log, .id = id, .keep = keep};
	list_append(pending, &st->entry);
	loop_timer_init(&st->timer, loop, on_retry, st);
	spool_settle(spool, id, keep, on_settled, st);
}

static char *
put_digits(char *out, int v, int digits)
{
	for (int i = digits; i-- > 0; v /= 10)
		out[i] = (char)('0' + v % 10);
	return out + digits;
}

/* "Thu, 01 Jan 1970 00:00:00 +0000", in no locale's words. */
const char *
settle_date(int64_t wall_ms, char out[SETTLE_DATE_MAX])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char *p = out;

	out[0] = '\0';
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < -1900 ||
	    tm.tm_year > 9999 - 1900)
		return out;
	memcpy(p, days + 3 * tm.tm_wday, 3);
	memcpy(p + 3, ", ", 2);
	p = put_digits(p + 5, tm.tm_mday, 2);
	*p++ = ' ';
	memcpy(p, months + 3 * tm.tm_mon, 3);
	p[3] = ' ';
	p = put_digits(p + 4, 1900 + tm.tm_year, 4);
	*p++ = ' ';
	p = put_digits(p, tm.tm_hour, 2);
	*p++ = ':';
	p = put_digits(p, tm.tm_min, 2);
	*p++ = ':';
	p = put_digits(p, tm.tm_sec, 2);
	memcpy(p, " +0000", sizeof(" +0000"));
	return out;
}
