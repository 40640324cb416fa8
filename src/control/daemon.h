/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every daemon is around its own work: the control socket and HTTP, which
 * are bound as root and served later, the signals, the watchdog. Embedded in
 * the daemon's struct, all zero at first. Event loop's thread.
 */
#ifndef CONTROL_DAEMON_H
#define CONTROL_DAEMON_H

#include "control/api.h"
#include "control/graph.h"
#include "control/web_conf.h"

struct daemon_ops {
	/* SIGHUP. Why it failed in err; the daemon logs it by itself. */
	bool (*reload)(void *arg, char *err, size_t cap);
	/* SIGTERM or SIGINT, once: the loop stops at a second one. */
	void (*stop)(void *arg, int64_t now);
};

struct daemon {
	const struct daemon_ops *ops;
	void *arg; /* of ops */
	/* The owner's, before daemon_open_access. */
	struct loop *loop;
	struct log *log;
	struct events *events;

	struct listener *listener; /* until control has it */
	int admin_gid;             /* -1: none */
	struct control *control;
	struct graph *graph; /* NULL: none is kept */
	struct web_listeners *web;
	struct access_store *access; /* NULL: no http section */
	struct api *api;             /* the same */
	struct loop_signal *hup, *term, *intr;
	struct loop_timer watchdog;
	bool is_stopping;
};

/* The socket at control, for members of group as well (NULL: none), and the
 * http sections. False: why in err; daemon_close may follow. */
MUST_CHECK bool daemon_bind(struct daemon *d, const char *control,
    const char *group, const struct option_array *http, char *err, size_t cap);
/* Tokens and users, kept in dir, where there are http sections: before the
 * control socket is served. False: why in err. */
MUST_CHECK bool daemon_open_access(
    struct daemon *d, const char *dir, char *err, size_t cap);
/* With access: settings have what is the daemon's own. */
void daemon_serve_http(struct daemon *d, const struct option_array *http,
    const struct api_settings *settings);
/* After a reload: what the configuration says now; http is borrowed until the
 * next call. A listener whose section is gone gives nobody any right until the
 * next start. */
void daemon_update_http(struct daemon *d, const struct option_array *http);
/* Nobody is served any more; frees control and graph too. */
void daemon_close(struct daemon *d);

void daemon_run_init(struct daemon *d); /* signals, watchdog */
void daemon_run_clear(struct daemon *d);

#endif
