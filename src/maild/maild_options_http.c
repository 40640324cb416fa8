/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of an http section, see maild_options.c.
 */
#include "config.h"

#include "maild/maild_check.h"
#include "maild/maild_config.h"
#include "os/option_check.h"

#define IN_HTTP(field) .offset = offsetof(struct maild_http, field)

const struct option maild_http_options[] = {
    {
	.name = "address",
	.type = OPTION_STRING,
	IN_HTTP(address),
	.required = true,
	.sample = "127.0.0.1:8025",
	.check = maild_check_listen,
	.doc = "Where to listen for HTTP: \"127.0.0.1:8025\", \"[::1]:8025\" "
	       "or \"unix:/path\".",
    },
    {
	.name = "socket_mode",
	.type = OPTION_STRING,
	IN_HTTP(socket_mode),
	.preset = "0660",
	.check = maild_check_mode,
	.doc = "Permissions of a Unix socket, in octal digits.",
    },
    {
	.name = "clients",
	.type = OPTION_STRINGS,
	IN_HTTP(clients),
	.reloadable = true,
	.sample = "127.0.0.1",
	.check = option_check_network,
	.doc = "Networks whose connections are accepted over TCP. Default: "
	       "this machine (127.0.0.0/8 and ::1).",
    },
    {
	.name = "hosts",
	.type = OPTION_STRINGS,
	IN_HTTP(hosts),
	.reloadable = true,
	.sample = "mail.example.org",
	.doc = "Host names by which clients may ask, without a port. "
	       "Addresses and localhost are always accepted; any other name "
	       "is answered with 421, so that a page of another site cannot "
	       "read from here through a name of its own. Not looked at over "
	       "a Unix socket.",
    },
    {
	.name = "tls_cert",
	.type = OPTION_STRINGS,
	IN_HTTP(tls_cert),
	.reloadable = true,
	.check = option_check_path,
	.doc = "PEM files with certificate and chain. With one, TLS is spoken "
	       "from the first byte; without, plain HTTP.",
    },
    {
	.name = "tls_key",
	.type = OPTION_STRINGS,
	IN_HTTP(tls_key),
	.reloadable = true,
	.check = option_check_path,
	.doc = "Their keys; left out, they are in the same files.",
    },
    {0},
};
