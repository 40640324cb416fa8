/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libcurl tells which sockets it waits for, and when it wants to be called;
 * the loop does the waiting. Ends are read from libcurl's messages after each
 * call into it, and are told at the end of the turn: so no callback of ours
 * runs within libcurl, and each may start another call.
 */
#include "alert/fetch.h"

#include "base/list.h"
#include "base/str.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watch { /* a socket of libcurl's */
	struct fetch *f;
	curl_socket_t fd;
	struct event *ev;
};

struct fetch_call {
	struct list entry;
	struct fetch *f;
	CURL *easy;
	struct curl_slist *headers, *to;
	char *body;
	size_t size, sent, received;
	char error[CURL_ERROR_SIZE];
	bool is_ended, is_smtp;
	CURLcode result;
	void (*on_end)(void *arg, const struct fetch_end *end);
	void *arg;
};

struct fetch {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	struct loop_task report;
	struct list calls;
};

static void
read_messages(struct fetch *f)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(f->multi, &left)) != NULL) {
		struct fetch_call *c = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
		c->is_ended = true;
		c->result = m->data.result;
		loop_task_set(&f->report);
	}
}

static void
act(struct fetch *f, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(f->multi, fd, what, &running);
	read_messages(f);
}

static void
on_timer(void *arg, int64_t now)
{
	(void)now;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	act(w->f, fd,
	    ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
		((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

/* ---- what libcurl asks for ---- */

static int
on_want_timer(CURLM *multi, long ms, void *arg)
{
	struct fetch *f = arg;

	(void)multi;
	loop_timer_set(&f->timer, ms < 0 ? INT64_MAX : loop_now(f->loop) + ms);
	return 0;
}

static int
on_want_socket(
    CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct fetch *f = arg;
	struct watch *w = socket_arg;
	short events = EV_PERSIST;

	(void)easy;
	if (w != NULL) {
		event_del(w->ev);
		event_free(w->ev);
		w->ev = NULL;
	}
	if (what == CURL_POLL_REMOVE) {
		free(w);
		curl_multi_assign(f->multi, fd, NULL);
		return 0;
	}
	if (w == NULL) {
		w = xcalloc(1, sizeof(*w));
		w->f = f;
		w->fd = fd;
		curl_multi_assign(f->multi, fd, w);
	}
	if ((what & CURL_POLL_IN) != 0)
		events |= EV_READ;
	if ((what & CURL_POLL_OUT) != 0)
		events |= EV_WRITE;
	w->ev = event_new(loop_base(f->loop), fd, events, on_socket, w);
	if (w->ev == NULL || event_add(w->ev, NULL) != 0)
		panic("fetch: a socket cannot be watched");
	return 0;
}

static size_t
on_answer(char *p, size_t size, size_t n, void *arg)
{
	struct fetch_call *c = arg;

	(void)p;
	c->received += size * n;
	return c->received > FETCH_ANSWER_MAX ? 0 : size * n;
}

static size_t
on_want_body(char *out, size_t size, size_t n, void *arg)
{
	struct fetch_call *c = arg;
	size_t left = c->size - c->sent;
	size_t max = size * n < left ? size * n : left;

	memcpy(out, c->body + c->sent, max);
	c->sent += max;
	return max;
}

/* ---- ends ---- */

static void
call_free(struct fetch_call *c)
{
	list_remove(&c->entry);
	if (c->easy != NULL) {
		curl_multi_remove_handle(c->f->multi, c->easy);
		curl_easy_cleanup(c->easy);
	}
	curl_slist_free_all(c->headers);
	curl_slist_free_all(c->to);
	free(c->body);
	free(c);
}

/* A code of success counts, whatever came after it: what we sent was taken. */
static bool
is_taken(const struct fetch_call *c, long code)
{
	if (c->is_smtp)
		return c->result == CURLE_OK;
	return code >= 200 && code < 300 &&
	       (c->result == CURLE_OK || c->result == CURLE_WRITE_ERROR);
}

static void
report_end(struct fetch_call *c)
{
	char why[FETCH_WHY_MAX] = "";
	struct fetch_end end = {.why = why};
	curl_off_t us = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &end.code);
	curl_easy_getinfo(c->easy, CURLINFO_TOTAL_TIME_T, &us);
	end.ms = us / 1000;
	if (!is_taken(c, end.code)) {
		if (c->result != CURLE_OK)
			snprintf(why, sizeof(why), "%.200s",
			    c->error[0] != '\0'
				? c->error
				: curl_easy_strerror(c->result));
		else if (end.code >= 300 && end.code < 400)
			snprintf(why, sizeof(why),
			    "%ld, a redirect, which is not followed", end.code);
		else
			snprintf(why, sizeof(why), "answered %ld", end.code);
	}
	c->on_end(c->arg, &end);
}

static void
on_report(void *arg, int64_t now)
{
	struct fetch *f = arg;
	struct list *e, *next;

	(void)now;
	list_each_safe (e, next, &f->calls) {
		struct fetch_call *c = LIST_ITEM(e, struct fetch_call, entry);

		if (!c->is_ended)
			continue;
		report_end(c);
		call_free(c);
	}
}

/* ---- calls ---- */

struct fetch *
fetch_new(struct loop *loop)
{
	struct fetch *f;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return NULL;
	f = xcalloc(1, sizeof(*f));
	f->loop = loop;
	list_init(&f->calls);
	f->multi = curl_multi_init();
	if (f->multi == NULL) {
		free(f);
		return NULL;
	}
	loop_timer_init(&f->timer, loop, on_timer, f);
	loop_task_init(&f->report, loop, on_report, f);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_want_socket);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_want_timer);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	/* Alerts are rare: a kept connection would be dead by the next. */
	curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, 1L);
	return f;
}

void
fetch_free(struct fetch *f)
{
	if (f == NULL)
		return;
	while (!list_is_empty(&f->calls))
		call_free(LIST_ITEM(f->calls.next, struct fetch_call, entry));
	curl_multi_cleanup(f->multi);
	loop_timer_clear(&f->timer);
	loop_task_clear(&f->report);
	free(f);
	curl_global_cleanup();
}

static struct curl_slist *
list_of(const char *const *texts)
{
	struct curl_slist *list = NULL;

	for (; texts != NULL && *texts != NULL; texts++) {
		struct curl_slist *more = curl_slist_append(list, *texts);

		if (more == NULL)
			panic("fetch: out of memory");
		list = more;
	}
	return list;
}

static void
set_http(struct fetch_call *c)
{
	curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
	curl_easy_setopt(
	    c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->size);
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(
	    c->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
}

/* With opportunistic TLS a name that nobody verified would be no better than
 * none: what is asked for with smtps:// is verified. */
static void
set_smtp(struct fetch_call *c, const char *url)
{
	bool implicit = str_istarts(str_from(url), STR("smtps:"));

	curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(c->easy, CURLOPT_MAIL_FROM, "");
	curl_easy_setopt(c->easy, CURLOPT_MAIL_RCPT, c->to);
	curl_easy_setopt(c->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, on_want_body);
	curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
	curl_easy_setopt(
	    c->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->size);
	curl_easy_setopt(c->easy, CURLOPT_USE_SSL, (long)CURLUSESSL_TRY);
	if (implicit)
		return;
	curl_easy_setopt(c->easy, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(c->easy, CURLOPT_SSL_VERIFYHOST, 0L);
}

/* The system's certificates take 26 ms to read. libcurl keeps them for a day,
 * but only without a directory beside the file; and a directory would be
 * trusted beside ca_file. */
static void
set_trust(struct fetch_call *c, const char *ca_file)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if (ca_file != NULL)
		curl_easy_setopt(c->easy, CURLOPT_CAINFO, ca_file);
	if (ca_file != NULL || info->cainfo != NULL)
		curl_easy_setopt(c->easy, CURLOPT_CAPATH, NULL);
}

void
fetch_start(struct fetch *f, const struct fetch_order *o)
{
	struct fetch_call *c = xcalloc(1, sizeof(*c));
	/* Curl takes the host for EHLO from the URL's path. */
	char *url = o->hostname != NULL
			? xasprintf("%s/%s", o->url, o->hostname)
			: xstrdup(o->url);

	c->f = f;
	c->is_smtp = o->hostname != NULL;
	c->headers = list_of(o->headers);
	c->to = list_of(o->to);
	c->body = xmalloc(o->size + 1);
	memcpy(c->body, o->body, o->size);
	c->size = o->size;
	c->on_end = o->on_end;
	c->arg = o->arg;
	c->easy = curl_easy_init();
	if (c->easy == NULL)
		panic("fetch: out of memory");
	list_append(&f->calls, &c->entry);
	curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
	curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(c->easy, CURLOPT_URL, url);
	curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(c->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(
	    c->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	set_trust(c, o->ca_file);
	if (c->is_smtp)
		set_smtp(c, url);
	else
		set_http(c);
	free(url);
	c->result = CURLE_OK;
	if (curl_multi_add_handle(f->multi, c->easy) != CURLM_OK)
		panic("fetch: a call cannot be added");
}
