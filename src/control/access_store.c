/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new file, synced, then renamed over the old one: a crash leaves the one or
 * the other. The worker's jobs come in order, so the last text written is the
 * last one that was printed.
 */
#include "control/access_store.h"

#include "os/clock.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the file ---- */

struct save {
	struct access_store *store;
	char *text;
	int error;
	access_saved_fn *fn;
	void *arg;
};

static void
run_save(void *arg)
{
	struct save *save = arg;

	save->error = file_replace(save->store->temporary, save->store->path,
	    save->text, strlen(save->text));
}

static void
free_save(void *arg)
{
	struct save *save = arg;

	free(save->text);
	free(save);
}

static void
on_saved(void *arg, int64_t now)
{
	struct save *save = arg;
	struct access_store *s = save->store;

	(void)now;
	if (save->error != 0)
		log_write(s->log, LOG_EV_HTTP_ACCESS_FILE_FAILED,
		    KV(file, s->path), KV(error, strerror(save->error)));
	if (save->fn != NULL)
		save->fn(save->arg, save->error);
	free_save(save);
}

static const struct worker_job save_job = {
    .run = run_save, .done = on_saved, .drop = free_save};

bool
access_store_save(struct access_store *s, access_saved_fn *fn, void *arg)
{
	struct save *save = xcalloc(1, sizeof(*save));
	struct buf out;

	save->store = s;
	buf_init(&out, ACCESS_TEXT_MAX);
	/* The bounds of what it holds are far below that. */
	if (!access_print(s->access, &out))
		panic("access: more than the file may hold");
	save->text = buf_take(&out);
	save->fn = fn;
	save->arg = arg;
	if (worker_submit(s->worker, &save_job, save)) {
		(void)access_take_changed(s->access);
		return true;
	}
	free_save(save);
	return false;
}

static bool
load(struct access_store *s, char *err, size_t cap)
{
	struct buf text;
	char why[256];
	int error;
	bool ok = true;

	buf_init(&text, ACCESS_TEXT_MAX);
	error = file_read(s->path, ACCESS_TEXT_MAX, &text);
	if (error == 0)
		ok = access_read(s->access, buf_str(&text), why, sizeof(why));
	else if (error != ENOENT) {
		ok = false;
		(void)str_copy(str_from(strerror(error)), why, sizeof(why));
	}
	buf_clear(&text);
	if (!ok)
		snprintf(err, cap,
		    "%s: %s; repair it, or move it away to start without "
		    "tokens and users",
		    s->path, why);
	return ok;
}

struct access_store *
access_store_open(
    struct loop *loop, struct log *log, const char *dir, char *err, size_t cap)
{
	struct access_store *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->log = log;
	s->access = access_new();
	s->guard = guard_new();
	s->path = xasprintf("%s/" ACCESS_FILE, dir);
	s->temporary = xasprintf("%s/" ACCESS_FILE ".new", dir);
	if (load(s, err, cap)) {
		s->worker = worker_new(loop, ACCESS_WAITING_MAX);
		if (s->worker != NULL)
			return s;
		snprintf(err, cap, "http: no thread");
	}
	access_store_free(s);
	return NULL;
}

void
access_store_free(struct access_store *s)
{
	if (s == NULL)
		return;
	if (s->worker != NULL && access_take_changed(s->access) &&
	    !access_store_save(s, NULL, NULL))
		log_write(
		    s->log, LOG_EV_HTTP_ACCESS_FILE_UNSAVED, KV(file, s->path));
	worker_free(s->worker);
	access_free(s->access);
	guard_free(s->guard);
	free(s->path);
	free(s->temporary);
	free(s);
}

/* ---- passwords ---- */

struct password {
	struct access_store *store;
	char *password, *hash; /* hash NULL: to be made */
	char made[ACCESS_HASH_MAX];
	bool is_right;
	access_checked_fn *checked;
	access_hashed_fn *hashed;
	void *arg;
};

static void
free_password(void *arg)
{
	struct password *p = arg;

	explicit_bzero(p->password, strlen(p->password));
	free(p->password);
	free(p->hash);
	free(p);
}

static void
run_check(void *arg)
{
	struct password *p = arg;

	p->is_right = access_check_password(p->password, p->hash);
}

static void
on_checked(void *arg, int64_t now)
{
	struct password *p = arg;

	p->store->password_count--;
	p->checked(p->arg, p->is_right, now);
	free_password(p);
}

static void
run_hash(void *arg)
{
	struct password *p = arg;

	p->is_right = access_hash_password(p->password, p->made);
}

static void
on_hashed(void *arg, int64_t now)
{
	struct password *p = arg;

	p->store->password_count--;
	p->hashed(p->arg, p->is_right ? p->made : NULL, now);
	free_password(p);
}

static const struct worker_job check_job = {
    .run = run_check, .done = on_checked, .drop = free_password};
static const struct worker_job hash_job = {
    .run = run_hash, .done = on_hashed, .drop = free_password};

static bool
submit(struct access_store *s, const struct worker_job *job,
    const struct password *what)
{
	struct password *p;

	if (s->password_count >= ACCESS_PASSWORDS_MAX)
		return false;
	p = xcalloc(1, sizeof(*p));
	*p = *what;
	p->store = s;
	p->password = xstrdup(what->password);
	p->hash = what->hash != NULL ? xstrdup(what->hash) : NULL;
	if (worker_submit(s->worker, job, p)) {
		s->password_count++;
		return true;
	}
	free_password(p);
	return false;
}

bool
access_store_check(struct access_store *s, const char *password,
    const char *hash, access_checked_fn *fn, void *arg)
{
	return submit(s, &check_job,
	    &(struct password){.password = (char *)password,
		.hash = (char *)hash,
		.checked = fn,
		.arg = arg});
}

bool
access_store_hash(struct access_store *s, const char *password,
    access_hashed_fn *fn, void *arg)
{
	return submit(s, &hash_job,
	    &(struct password){
		.password = (char *)password, .hashed = fn, .arg = arg});
}
