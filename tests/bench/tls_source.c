/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load of SMTP sessions over implicit TLS, for bench_tls.py: so many sessions
 * (greeting, QUIT), or so many messages over kept sessions, by some threads.
 * Prints the seconds that it took. It verifies nothing, to cost little itself.
 *
 *	tls_source port threads sessions bytes resume(0|1)
 *
 * bytes 0: sessions alone, else one session a thread and `sessions` messages.
 */
#include "config.h"

#include "base/base.h"
#include "os/clock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 64
#define LINE_BYTES 76

struct load {
	unsigned short port;
	long bytes;
	bool resume;
	atomic_long left;
	SSL_CTX *ctx;
	char *text;
};

struct link {
	SSL *ssl;
	int fd;
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "tls_source: %s\n", what);
	exit(1);
}

static struct link
dial(const struct load *l, SSL_SESSION *session)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(l->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct link k = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
	int on = 1;

	if (connect(k.fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("no connection");
	setsockopt(k.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	k.ssl = SSL_new(l->ctx);
	SSL_set_fd(k.ssl, k.fd);
	if (session != NULL)
		SSL_set_session(k.ssl, session);
	if (SSL_connect(k.ssl) != 1)
		die("no handshake");
	return k;
}

static void
hear(struct link *k, char first)
{
	char text[4096];
	int n = SSL_read(k->ssl, text, sizeof(text) - 1);

	if (n <= 0 || text[0] != first)
		die("another reply than expected");
}

static void
say(struct link *k, const char *text, size_t n)
{
	if (SSL_write(k->ssl, text, (int)n) <= 0)
		die("the connection broke");
}

static void
ask(struct link *k, const char *text, char first)
{
	say(k, text, strlen(text));
	hear(k, first);
}

static void
hang_up(struct link *k, SSL_SESSION **session)
{
	ask(k, "QUIT\r\n", '2');
	if (session != NULL) {
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(k->ssl);
	}
	SSL_set_shutdown(k->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(k->ssl);
	close(k->fd);
}

static void *
run_sessions(void *arg)
{
	struct load *l = arg;
	SSL_SESSION *session = NULL;

	while (atomic_fetch_sub(&l->left, 1) > 0) {
		struct link k = dial(l, session);

		hear(&k, '2');
		hang_up(&k, l->resume ? &session : NULL);
	}
	SSL_SESSION_free(session);
	return NULL;
}

static void *
run_messages(void *arg)
{
	struct load *l = arg;
	struct link k = dial(l, NULL);

	hear(&k, '2');
	ask(&k, "EHLO bench\r\n", '2');
	while (atomic_fetch_sub(&l->left, 1) > 0) {
		ask(&k, "MAIL FROM:<a@example.com>\r\n", '2');
		ask(&k, "RCPT TO:<b@example.com>\r\n", '2');
		ask(&k, "DATA\r\n", '3');
		say(&k, l->text, (size_t)l->bytes);
		ask(&k, "\r\n.\r\n", '2');
	}
	hang_up(&k, NULL);
	return NULL;
}

static char *
make_text(long bytes)
{
	char *text = malloc((size_t)bytes + 1);

	if (text == NULL)
		die("no memory");
	memset(text, 'x', (size_t)bytes);
	memcpy(text, "Subject: x\r\n\r\n", bytes > 14 ? 14 : (size_t)bytes);
	for (long i = 14 + LINE_BYTES; i + 1 < bytes; i += LINE_BYTES)
		memcpy(text + i, "\r\n", 2);
	return text;
}

int
main(int argc, char **argv)
{
	struct load l = {0};
	pthread_t threads[THREADS_MAX];
	long count;
	int64_t begin;

	if (argc != 6)
		die("usage: port threads sessions bytes resume");
	signal(SIGPIPE, SIG_IGN);
	l.port = (unsigned short)strtol(argv[1], NULL, 10);
	count = strtol(argv[2], NULL, 10);
	l.left = strtol(argv[3], NULL, 10);
	l.bytes = strtol(argv[4], NULL, 10);
	l.resume = argv[5][0] == '1';
	l.ctx = SSL_CTX_new(TLS_client_method());
	l.text = make_text(l.bytes);
	if (l.ctx == NULL || count < 1 || count > THREADS_MAX)
		die("1 to 64 threads");
	begin = clock_mono_ms();
	for (long i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL,
			l.bytes > 0 ? run_messages : run_sessions, &l) != 0)
			die("no thread");
	}
	for (long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%.3f\n", (double)(clock_mono_ms() - begin) / 1000);
	SSL_CTX_free(l.ctx);
	free(l.text);
	return 0;
}
