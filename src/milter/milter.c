/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libmilter's start and end, and the threads for both: it takes signals and
 * locks of its own, and is asked to stop from a thread where it may wait.
 */
#include "milter/milter.h"

#include "milter/milter_ask.h"
#include "milter/milter_filter.h"
#include "net/listener.h"
#include "os/clock.h"

#include <errno.h>
#include <libmilter/mfapi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOIN_MS 50
#define JOIN_TRIES 40

struct milter {
	struct milter_desk desk;
	struct milter_filter filter;
	struct net_addr addr;
	const struct peer_rules *peers;
	_Atomic int64_t denied_due; /* the next line about a stranger */
	pthread_t thread, stopper;
	bool is_running, has_stopper;
	atomic_bool is_stopping;
	int ended_fd;
	struct loop_watch *ended_watch;
};

/* ---- who connects ---- */

/* libmilter accepts by itself and shows nobody the descriptor, while the right
 * to name other users hangs on who is behind it. So its calls of accept(2) come
 * here: a symbol of the program goes before the C library's. */
static _Atomic(struct milter *) the_milter;

int milter_accept(int fd, struct sockaddr *addr, socklen_t *len) __asm__(
    "accept");

static bool
is_welcome(struct milter *m, int fd)
{
	char why[160];
	struct peer peer;

	peer_find(fd, &peer);
	if (peer_may(m->peers, &peer, why, sizeof(why))) {
		milter_post(m->desk.port, milter_ask_new(MILTER_CAME, NULL));
		return true;
	}
	milter_post(m->desk.port, milter_ask_new(MILTER_DENIED, NULL));
	if (peer_is_news(&m->denied_due, clock_mono_ms()))
		log_write(
		    m->desk.parts.log, LOG_EV_MILTER_DENIED, KV(reason, why));
	return false;
}

int
milter_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	int peer = accept4(fd, addr, len, SOCK_CLOEXEC);
	struct milter *m = atomic_load(&the_milter);

	if (peer < 0 || m == NULL || is_welcome(m, peer))
		return peer;
	close(peer);
	/* The one error that libmilter neither counts nor logs. */
	errno = EINTR;
	return -1;
}

/* ---- signals ---- */

/* A thread of libmilter's waits for SIGTERM, SIGHUP and SIGINT with sigwait(3),
 * and ends libmilter when it has one. They are the daemon's, to stop or to
 * reload by; but a signal to the process goes to whichever thread takes it
 * first, and that is the one that calls sigwait where the daemon's main thread
 * has not run yet. */
int milter_sigwait(const sigset_t *set, int *sig) __asm__("sigwait");

int
milter_sigwait(const sigset_t *set, int *sig)
{
	sigset_t all;

	(void)set;
	*sig = 0;
	sigfillset(&all);
	for (;;)
		sigsuspend(&all);
}

/* ---- start ---- */

bool
milter_is_built_in(void)
{
	return true;
}

static void
libmilter_address(const struct net_addr *addr, char *out, size_t cap)
{
	char text[NET_ADDR_TEXT_MAX];
	struct str s = str_from(net_addr_format(addr, text)), host;
	size_t colon = str_rindex(s, ':');

	if (addr->ss.ss_family == AF_UNIX) {
		snprintf(out, cap, "%s", text);
		return;
	}
	host = str_sub(s, 0, colon);
	if (str_starts(host, STR("[")))
		host = str_sub(host, 1, host.n - 2);
	snprintf(out, cap, "%s:%s@%.*s",
	    addr->ss.ss_family == AF_INET6 ? "inet6" : "inet", text + colon + 1,
	    STR_ARG(host));
}

/* The same care as for our own sockets, and the same words: whether the address
 * may be had is tried, then left to libmilter. */
static bool
try_address(const struct net_addr *addr, unsigned mode, char *err, size_t cap)
{
	struct listener_options options = {
	    .backlog = 1, .unix_mode = mode, .unix_gid = -1};
	struct listener *ln = listener_new(addr, &options, err, cap);

	if (ln == NULL)
		return false;
	listener_free(ln);
	return true;
}

struct milter *
milter_new(const struct net_addr *addr, int backlog, unsigned unix_mode,
    const struct peer_rules *peers, char *err, size_t cap)
{
	bool is_unix = addr->ss.ss_family == AF_UNIX;
	char address[NET_ADDR_TEXT_MAX + 8];
	struct milter *m;
	mode_t before;
	bool ok;

	if (!try_address(addr, unix_mode, err, cap))
		return NULL;
	libmilter_address(addr, address, sizeof(address));
	before = umask(~unix_mode & 0777);
	ok = milter_filter_register(address) &&
	     smfi_setbacklog(backlog) == MI_SUCCESS &&
	     smfi_opensocket(false) == MI_SUCCESS;
	umask(before);
	if (!ok ||
	    (is_unix && chmod(address + strlen("unix:"), unix_mode) != 0)) {
		snprintf(
		    err, cap, "%s: libmilter cannot listen there", address);
		return NULL;
	}
	m = xcalloc(1, sizeof(*m));
	m->addr = *addr;
	m->peers = peers;
	m->ended_fd = -1;
	return m;
}

static void *
serve(void *arg)
{
	struct milter *m = arg;
	uint64_t one = 1;
	ssize_t n;

	(void)smfi_main();
	if (!atomic_load(&m->is_stopping)) {
		n = write(m->ended_fd, &one, sizeof(one));
		(void)n;
	}
	return NULL;
}

static void
on_ended(void *arg, int64_t now)
{
	struct milter *m = arg;

	(void)now;
	loop_watch_free(m->ended_watch);
	m->ended_watch = NULL;
	log_write(m->desk.parts.log, LOG_EV_MILTER_ENDED,
	    KV(error, "libmilter ended unexpectedly"));
	m->desk.parts.on_ended(m->desk.parts.arg);
}

void
milter_start(struct milter *m, const struct milter_parts *parts,
    const struct milter_settings *settings)
{
	milter_desk_init(&m->desk, parts, settings);
	m->filter.desk = &m->desk;
	m->filter.places = places_new();
	milter_filter_set(&m->filter);
	atomic_store(&the_milter, m);
	m->ended_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	m->ended_watch = loop_watch_new(parts->loop, m->ended_fd, on_ended, m);
	m->is_running = pthread_create(&m->thread, NULL, serve, m) == 0;
	if (!m->is_running)
		panic("milter: no thread");
}

static void *
stop_libmilter(void *arg)
{
	(void)arg;
	(void)smfi_stop();
	return NULL;
}

/* smfi_stop waits for a lock that libmilter keeps while it listens: not in the
 * loop. */
static void
begin_stop(struct milter *m)
{
	if (atomic_exchange(&m->is_stopping, true))
		return;
	m->has_stopper =
	    pthread_create(&m->stopper, NULL, stop_libmilter, NULL) == 0;
}

void
milter_drain(struct milter *m, void (*fn)(void *arg), void *arg)
{
	/* libmilter is not told yet: once it is, it serves no connection that
	 * waits for its next command, and the messages under way would not
	 * end. */
	milter_desk_drain(&m->desk, fn, arg);
}

/* libmilter looks whether it is to stop when somebody connects, or every few
 * seconds. */
static void
wake_listener(const struct net_addr *addr)
{
	int fd = socket(
	    addr->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	(void)!connect(fd, (const struct sockaddr *)&addr->ss, addr->len);
	close(fd);
}

void
milter_expect_own(struct milter *m, bool on)
{
	atomic_store(&m->filter.expects_own, on);
}

static bool
join_in(pthread_t thread, int64_t ms)
{
	int64_t at = clock_wall_ms() + ms;
	struct timespec end = {
	    .tv_sec = (time_t)(at / 1000), .tv_nsec = at % 1000 * 1000000};

	return pthread_timedjoin_np(thread, NULL, &end) == 0;
}

static bool
join(struct milter *m)
{
	bool joined = false;

	for (int i = 0; i < JOIN_TRIES && !joined; i++) {
		wake_listener(&m->addr);
		joined = join_in(m->thread, JOIN_MS);
	}
	return (!m->has_stopper || join_in(m->stopper, JOIN_MS)) && joined;
}

void
milter_free(struct milter *m)
{
	bool joined;

	if (m == NULL)
		return;
	if (!m->is_running) {
		(void)smfi_stop();
		free(m);
		return;
	}
	begin_stop(m);
	atomic_store(&the_milter, NULL);
	milter_desk_close(&m->desk);
	joined = join(m);
	if (m->ended_watch != NULL)
		loop_watch_free(m->ended_watch);
	if (m->addr.ss.ss_family == AF_UNIX)
		(void)unlink(
		    ((const struct sockaddr_un *)&m->addr.ss)->sun_path);
	/* Threads of connections that are still open end with the process, and
	 * find the port closed until then. */
	if (!joined || atomic_load(&m->filter.open) > 0)
		return;
	milter_filter_set(NULL);
	close(m->ended_fd);
	milter_port_free(m->desk.port);
	places_free(m->filter.places);
	free(m);
}
