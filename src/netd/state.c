/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new file, synced, then renamed over the old one: a crash leaves the one or
 * the other. The lock guards `next` and `stop`, nothing else is shared.
 */
#include "netd/state.h"

#include "os/file.h"
#include "os/process.h"

#include <errno.h>
#include <pthread.h>
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
		error = file_replace(s->temporary, s->path, text, strlen(text));
		if (error != 0)
			log_write(s->log, LOG_EV_STATE_WRITE_FAILED,
			    KV(file, s->path), KV(error, strerror(error)));
		free(text);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
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
	if (process_start_thread(&s->thread, run, s) == 0)
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
