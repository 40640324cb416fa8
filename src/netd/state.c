/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new file, synced, then renamed over the old one: a crash leaves the one or
 * the other. The lock guards `next` and `stop`, nothing else is shared.
 */
#include "netd/state.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state {
	struct log *log;
	char *path, *temporary;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char *next; /* NULL: nothing waits */
	bool stop;
};

static int
write_file(struct state *s, const char *text)
{
	int fd =
	    open(s->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error;

	if (fd < 0)
		return errno;
	error = file_write_all(fd, text, strlen(text));
	if (error == 0)
		error = file_sync(fd);
	if (close(fd) != 0 && error == 0)
		error = errno;
	return error != 0 ? error : file_rename_sync(s->temporary, s->path);
}

static void *
run(void *arg)
{
	struct state *s = arg;
	int error;
	char *text;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->next == NULL && !s->stop)
			pthread_cond_wait(&s->changed, &s->lock);
		text = s->next;
		s->next = NULL;
		if (text == NULL)
			break;
		pthread_mutex_unlock(&s->lock);
		error = write_file(s, text);
		if (error != 0)
			log_write(s->log, LOG_EV_STATE_WRITE_FAILED,
			    KV(file, s->path), KV(error, strerror(error)));
		free(text);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static bool
start(struct state *s)
{
	sigset_t all, was;
	int error;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	error = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	return error == 0;
}

struct state *
state_open(const char *dir, struct log *log, char *err, size_t cap)
{
	struct state *s;
	int error = file_make_dir(dir, 0700);

	if (error == 0 && access(dir, W_OK | X_OK) != 0)
		error = errno;
	if (error != 0) {
		snprintf(err, cap, "state: %s: %s", dir, strerror(error));
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->log = log;
	s->path = xasprintf("%s/frozen", dir);
	s->temporary = xasprintf("%s/frozen.new", dir);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	if (start(s))
		return s;
	snprintf(err, cap, "state: no thread");
	free(s->path);
	free(s->temporary);
	free(s);
	return NULL;
}

int
state_read(struct state *s, struct buf *out)
{
	int error = file_read(s->path, STATE_TEXT_MAX, out);

	return error == ENOENT ? 0 : error;
}

void
state_write(struct state *s, char *text)
{
	pthread_mutex_lock(&s->lock);
	free(s->next);
	s->next = text;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void
state_close(struct state *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s->path);
	free(s->temporary);
	free(s);
}
