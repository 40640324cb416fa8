/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both ends of bench_auth.py: a sink that takes any login and any mail, a
 * thread a connection, and a source of sessions that log in (or not), send some
 * small messages and leave. The source prints the seconds that it took.
 *
 *	auth_load sink port
 *	auth_load source port threads sessions messages login(0|1)
 */
#include "config.h"

#include "base/base.h"
#include "os/clock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MAX 64
#define READ_MAX 4096
#define WRITE_MAX 1024

struct load {
	uint16_t port;
	long messages;
	bool login;
	atomic_long left;
};

struct link {
	int fd;
	char in[READ_MAX], out[WRITE_MAX];
	size_t at, have, due; /* of in; of in; of out */
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "auth_load: %s\n", what);
	exit(1);
}

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void
set_no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void
flush(struct link *k)
{
	if (k->due > 0 && write(k->fd, k->out, k->due) != (ssize_t)k->due)
		k->have = k->at = 0; /* the next read finds the end */
	k->due = 0;
}

static void
say(struct link *k, const char *text)
{
	size_t n = strlen(text);

	if (k->due + n > WRITE_MAX)
		flush(k);
	memcpy(k->out + k->due, text, n);
	k->due += n;
}

/* A line without its LF, what was to be said is said before it waits. NULL: the
 * peer has gone. */
static char *
hear(struct link *k)
{
	for (;;) {
		char *line = k->in + k->at;
		char *end = memchr(line, '\n', k->have - k->at);
		ssize_t n;

		if (end != NULL) {
			*end = '\0';
			k->at = (size_t)(end - k->in) + 1;
			return line;
		}
		memmove(k->in, line, k->have - k->at);
		k->have -= k->at;
		k->at = 0;
		flush(k);
		n = read(k->fd, k->in + k->have, READ_MAX - k->have);
		if (n <= 0)
			return NULL;
		k->have += (size_t)n;
	}
}

/* ---- the sink ---- */

static bool
is_verb(const char *line, const char *verb)
{
	return strncmp(line, verb, strlen(verb)) == 0;
}

static bool
take_text(struct link *k)
{
	char *line;

	say(k, "354 go\r\n");
	do {
		line = hear(k);
	} while (line != NULL && strcmp(line, ".\r") != 0);
	return line != NULL;
}

static bool
answer(struct link *k, const char *line)
{
	if (is_verb(line, "EHLO"))
		say(k, "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
		       "250 AUTH PLAIN\r\n");
	else if (is_verb(line, "AUTH"))
		say(k, "235 2.7.0 welcome\r\n");
	else if (is_verb(line, "QUIT"))
		say(k, "221 2.0.0 bye\r\n");
	else if (is_verb(line, "DATA") && !take_text(k))
		return false;
	else
		say(k, "250 2.0.0 ok\r\n");
	return !is_verb(line, "QUIT");
}

static void *
serve(void *arg)
{
	struct link *k = arg;
	char *line;

	set_no_delay(k->fd);
	say(k, "220 sink ESMTP\r\n");
	do {
		line = hear(k);
	} while (line != NULL && answer(k, line));
	flush(k);
	close(k->fd);
	free(k);
	return NULL;
}

static _Noreturn void
run_sink(uint16_t port)
{
	struct sockaddr_in at = loopback(port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	pthread_attr_t small;
	pthread_t thread;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(fd, 1000) != 0)
		die("cannot listen");
	pthread_attr_init(&small);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&small, 65536);
	for (;;) {
		struct link *k = xcalloc(1, sizeof(*k));

		k->fd = accept(fd, NULL, NULL);
		if (k->fd < 0 || pthread_create(&thread, &small, serve, k) != 0)
			die("cannot serve");
	}
}

/* ---- the source ---- */

static void
expect(struct link *k, char first)
{
	char *line;

	do {
		line = hear(k);
		if (line == NULL || line[0] != first)
			die(line == NULL ? "the connection broke" : line);
	} while (line[3] == '-');
}

static void
ask(struct link *k, const char *text, char first)
{
	say(k, text);
	expect(k, first);
}

static void
send_message(struct link *k)
{
	static const char text[] =
	    "From: a@example.com\r\nTo: b@example.com\r\nSubject: bench\r\n\r\n"
	    "A line of text, as most mail has more than one of them.\r\n.\r\n";

	ask(k, "MAIL FROM:<a@example.com>\r\n", '2');
	ask(k, "RCPT TO:<b@example.com>\r\n", '2');
	ask(k, "DATA\r\n", '3');
	ask(k, text, '2');
}

static void
run_session(const struct load *l)
{
	struct sockaddr_in to = loopback(l->port);
	struct link *k = xcalloc(1, sizeof(*k));

	k->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(k->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("no connection");
	set_no_delay(k->fd);
	expect(k, '2');
	ask(k, "EHLO bench\r\n", '2');
	if (l->login) /* alice, secret */
		ask(k, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", '2');
	for (long i = 0; i < l->messages; i++)
		send_message(k);
	ask(k, "QUIT\r\n", '2');
	close(k->fd);
	free(k);
}

static void *
run_sessions(void *arg)
{
	struct load *l = arg;

	while (atomic_fetch_sub(&l->left, 1) > 0)
		run_session(l);
	return NULL;
}

static void
run_source(struct load *l, long count)
{
	pthread_t threads[THREADS_MAX];
	int64_t begin = clock_mono_ms();

	if (count < 1 || count > THREADS_MAX)
		die("1 to 64 threads");
	for (long i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, run_sessions, l) != 0)
			die("no thread");
	}
	for (long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%.3f\n", (double)(clock_mono_ms() - begin) / 1000);
}

int
main(int argc, char **argv)
{
	struct load l = {0};

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "sink") == 0)
		run_sink((uint16_t)strtol(argv[2], NULL, 10));
	if (argc != 7 || strcmp(argv[1], "source") != 0)
		die("usage: sink port | source port threads sessions messages "
		    "login");
	l.port = (uint16_t)strtol(argv[2], NULL, 10);
	l.left = strtol(argv[4], NULL, 10);
	l.messages = strtol(argv[5], NULL, 10);
	l.login = argv[6][0] == '1';
	run_source(&l, strtol(argv[3], NULL, 10));
	return 0;
}
