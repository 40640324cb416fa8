/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A next hop that costs next to nothing, for bench_tls.py: it takes what comes
 * and looks only for the end of a message, where smtp-sink reads octet by octet
 * and one message to its end before the next. So the relay is what is measured.
 * Only for our own load: commands come whole, and the final dot ends a read.
 *
 *	quick_sink port
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS_MAX 1024
#define EVENTS_MAX 64
#define END_BYTES 5 /* CR LF . CR LF */

struct link {
	bool in_message;
	char last[END_BYTES];
};

struct sink {
	int listener, epoll;
	struct link links[LINKS_MAX]; /* by descriptor */
	char in[1 << 17];
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "quick_sink: %s\n", what);
	exit(1);
}

static void
watch(const struct sink *s, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll_ctl");
}

static void
say(int fd, const char *text)
{
	/* Small, and asked for one by one: it always fits. */
	(void)!write(fd, text, strlen(text));
}

static void
greet(struct sink *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0 || fd >= LINKS_MAX)
		die("accept");
	s->links[fd] = (struct link){0};
	watch(s, fd);
	say(fd, "220 sink ESMTP\r\n");
}

static void
command(struct link *k, int fd, const char *line)
{
	if (strncasecmp(line, "EHLO", 4) == 0)
		say(fd, "250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	else if (strncasecmp(line, "QUIT", 4) == 0)
		say(fd, "221 bye\r\n");
	else if (strncasecmp(line, "DATA", 4) == 0)
		say(fd, "354 go on\r\n");
	else
		say(fd, "250 ok\r\n");
	k->in_message = strncasecmp(line, "DATA", 4) == 0;
	memset(k->last, 0, sizeof(k->last));
}

static void
text(struct link *k, int fd, const char *p, size_t n)
{
	size_t kept = n < END_BYTES ? END_BYTES - n : 0;

	memmove(k->last, k->last + END_BYTES - kept, kept);
	memcpy(k->last + kept, p + n - (END_BYTES - kept), END_BYTES - kept);
	if (memcmp(k->last, "\r\n.\r\n", END_BYTES) != 0)
		return;
	k->in_message = false;
	say(fd, "250 taken\r\n");
}

static void
hear(struct sink *s, int fd)
{
	struct link *k = &s->links[fd];
	ssize_t n = read(fd, s->in, sizeof(s->in) - 1);
	char *p = s->in, *end;

	if (n <= 0) {
		close(fd);
		return;
	}
	s->in[n] = '\0';
	if (k->in_message) {
		text(k, fd, s->in, (size_t)n);
		return;
	}
	while ((end = strchr(p, '\n')) != NULL) {
		command(k, fd, p);
		p = end + 1;
	}
}

static void
start(struct sink *s, unsigned short port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;

	s->epoll = epoll_create1(0);
	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(s->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(s->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(s->listener, LINKS_MAX) != 0)
		die("the port cannot be had");
	watch(s, s->listener);
}

int
main(int argc, char **argv)
{
	struct sink *s = calloc(1, sizeof(*s));
	struct epoll_event events[EVENTS_MAX];
	int n;

	if (argc != 2 || s == NULL)
		die("usage: port");
	start(s, (unsigned short)strtol(argv[1], NULL, 10));
	for (;;) {
		n = epoll_wait(s->epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == s->listener)
				greet(s);
			else
				hear(s, events[i].data.fd);
		}
	}
}
