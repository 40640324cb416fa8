/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load of messages from a client that pipelines (RFC 2920), for
 * bench_cluster.py: each session says an envelope in one piece, hears all of
 * its replies, and sends the text. smtp-source waits for each reply. Prints the
 * seconds that it took.
 *
 *	pipe_source port sessions messages recipients bytes name
 *
 * Recipients are name1@example.com, name2@example.com and so on, each of them
 * once.
 */
#include "config.h"

#include "base/base.h"
#include "os/clock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SESSIONS_MAX 64
#define LINE_BYTES 76
#define RCPT_BYTES 96

struct load {
	unsigned short port;
	long recipients, bytes;
	const char *name;
	atomic_long left, named;
	char *text;
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "pipe_source: %s\n", what);
	exit(1);
}

static int
dial(const struct load *l)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(l->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("no connection");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void
say(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t some = write(fd, p, n);

		if (some <= 0)
			die("the connection broke");
		p += some;
		n -= (size_t)some;
	}
}

/* So many replies that are good, all of one line but the last to EHLO. */
static void
hear(FILE *in, long replies)
{
	char line[1024];

	while (replies > 0) {
		if (fgets(line, sizeof(line), in) == NULL)
			die("no reply");
		if (line[0] != '2' && line[0] != '3')
			die(line);
		if (line[3] == ' ')
			replies--;
	}
}

static size_t
write_envelope(struct load *l, char *out, size_t cap)
{
	size_t n = (size_t)snprintf(out, cap, "MAIL FROM:<a@example.com>\r\n");

	for (long i = 0; i < l->recipients; i++)
		n += (size_t)snprintf(out + n, cap - n,
		    "RCPT TO:<%s%ld@example.com>\r\n", l->name,
		    atomic_fetch_add(&l->named, 1));
	return n + (size_t)snprintf(out + n, cap - n, "DATA\r\n");
}

static void *
run(void *arg)
{
	struct load *l = arg;
	size_t cap = RCPT_BYTES * ((size_t)l->recipients + 2);
	char *envelope = xmalloc(cap);
	int fd = dial(l);
	FILE *in = fdopen(fd, "r");

	hear(in, 1);
	say(fd, "EHLO bench\r\n", 12);
	hear(in, 1);
	while (atomic_fetch_sub(&l->left, 1) > 0) {
		say(fd, envelope, write_envelope(l, envelope, cap));
		hear(in, l->recipients + 2);
		say(fd, l->text, strlen(l->text));
		hear(in, 1);
	}
	say(fd, "QUIT\r\n", 6);
	hear(in, 1);
	fclose(in);
	free(envelope);
	return NULL;
}

static char *
make_text(long bytes)
{
	char line[LINE_BYTES + 2 + 1];
	size_t cap = (size_t)bytes + 2 * sizeof(line) + 32;
	char *text = xmalloc(cap);
	size_t n = (size_t)snprintf(text, cap, "Subject: bench\r\n\r\n");

	memset(line, 'x', LINE_BYTES);
	memcpy(line + LINE_BYTES, "\r\n", 3);
	while (n < (size_t)bytes) {
		memcpy(text + n, line, LINE_BYTES + 2);
		n += LINE_BYTES + 2;
	}
	memcpy(text + n, ".\r\n", 4);
	return text;
}

int
main(int argc, char **argv)
{
	pthread_t threads[SESSIONS_MAX];
	struct load l = {0};
	long sessions;
	int64_t began;

	if (argc != 7)
		die("port sessions messages recipients bytes name");
	l.port = (unsigned short)strtol(argv[1], NULL, 10);
	sessions = strtol(argv[2], NULL, 10);
	l.left = strtol(argv[3], NULL, 10);
	l.recipients = strtol(argv[4], NULL, 10);
	l.bytes = strtol(argv[5], NULL, 10);
	l.name = argv[6];
	if (sessions < 1 || sessions > SESSIONS_MAX || l.recipients < 1 ||
	    strlen(l.name) > 32)
		die("an argument is out of range");
	l.text = make_text(l.bytes);
	began = clock_mono_ms();
	for (long i = 0; i < sessions; i++) {
		if (pthread_create(&threads[i], NULL, run, &l) != 0)
			die("no thread");
	}
	for (long i = 0; i < sessions; i++)
		pthread_join(threads[i], NULL);
	printf("%.3f\n", (double)(clock_mono_ms() - began) / 1000);
	free(l.text);
	return 0;
}
