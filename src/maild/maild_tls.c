/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the listeners and the certificates in use have to do with a reload: a
 * listener stays bound and takes on the settings of the section with its name;
 * where that is gone it keeps those it had. Once a day the log warns of
 * certificates that expire soon.
 */
#include "maild/maild_internal.h"

#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS (24 * 3600 * INT64_C(1000))

static const struct maild_listen *
find_listen(const struct maild_config *conf, const char *name)
{
	for (size_t i = 0; i < conf->listen.n; i++) {
		if (strcmp(maild_config_listen(conf, i)->name, name) == 0)
			return maild_config_listen(conf, i);
	}
	return NULL;
}

static void
update_bound(struct maild_listener *bound, const struct maild_config *conf)
{
	const struct maild_listen *l = find_listen(conf, bound->name);
	struct tls_server *was = bound->listen.tls_server;

	if (l == NULL)
		return;
	bound->listen = l->relay;
	bound->listen.name = bound->name;
	tls_server_ref(bound->listen.tls_server);
	tls_server_unref(was);
}

void
maild_listeners_update(struct maild *m)
{
	for (size_t i = 0; i < m->bound_count; i++)
		update_bound(&m->bound[i], m->gen->conf);
}

void
maild_listeners_free(struct maild *m)
{
	for (size_t i = 0; i < m->bound_count; i++) {
		tls_server_unref(m->bound[i].listen.tls_server);
		free(m->bound[i].name);
	}
	free(m->bound);
}

/* An earlier listener has the same file. */
static bool
is_listed(const struct maild *m, size_t before, const char *file)
{
	struct tls_cert cert;

	for (size_t i = 0; i < before; i++) {
		const struct tls_server *s = m->bound[i].listen.tls_server;

		for (size_t j = 0; s != NULL && tls_server_cert(s, j, &cert);
		     j++) {
			if (strcmp(cert.file, file) == 0)
				return true;
		}
	}
	return false;
}

bool
maild_on_certificate(void *arg, size_t i, struct tls_cert *out)
{
	const struct maild *m = arg;

	for (size_t d = 0; d < m->bound_count; d++) {
		const struct tls_server *s = m->bound[d].listen.tls_server;

		for (size_t j = 0; s != NULL && tls_server_cert(s, j, out);
		     j++) {
			if (!is_listed(m, d, out->file) && i-- == 0)
				return true;
		}
	}
	return m->gen->conf->hop.tls.client != NULL &&
	       tls_client_cert(m->gen->conf->hop.tls.client, i, out);
}

void
maild_on_cert_timer(void *arg, int64_t now)
{
	struct maild *m = arg;
	int64_t wall = clock_wall_ms();
	struct tls_cert cert;

	for (size_t i = 0; maild_on_certificate(m, i, &cert); i++) {
		if (cert.expires_at - wall >= CONTROL_CERT_SOON_MS)
			continue;
		log_write(m->log, LOG_EV_MAILD_CERTIFICATE, KV(file, cert.file),
		    KV(names, cert.names), KV(expires, cert.expires_at));
	}
	maild_watch_certificates(m);
	loop_timer_set(&m->cert_timer, now + DAY_MS);
}
