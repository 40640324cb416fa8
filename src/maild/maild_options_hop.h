/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf that say how long is waited for the next hop and how
 * many connections to it are open, see maild_options.c, where they take their
 * places in the table.
 */
#ifndef MAILD_MAILD_OPTIONS_HOP_H
#define MAILD_MAILD_OPTIONS_HOP_H

/* clang-format off */
#define MAILD_HOP_OPTIONS						\
	{								\
		TIME("connect_timeout", connect_timeout_ms,		\
		    "30s", SECONDS(1), MINUTES(5)),			\
		.doc =							\
		    "Longest wait for a connection to the next hop;"	\
		    " and, while another next hop is left to be "	\
		    "tried, for its greeting and its reply to EHLO."	\
		    " The last one has next_hop_command_timeout for"	\
		    " each.",						\
	},								\
	{								\
		TIME("next_hop_command_timeout",			\
		    next_hop_command_timeout_ms, "5m", SECONDS(1), HOURS(1)), \
		.doc =							\
		    "Longest wait for the next hop's reply to a "	\
		    "command.",						\
	},								\
	{								\
		TIME("next_hop_data_timeout", next_hop_data_timeout_ms,	\
		    "3m", SECONDS(1), HOURS(1)),			\
		.doc =							\
		    "Longest time in which the next hop takes "		\
		    "nothing of a message.",				\
	},								\
	{								\
		TIME("next_hop_end_timeout", next_hop_end_timeout_ms,	\
		    "10m", SECONDS(1), HOURS(1)),			\
		.doc =							\
		    "Longest wait for the next hop's reply to a "	\
		    "whole message. While the client waits, "		\
		    "answer_timeout comes first.",			\
	},								\
	{								\
		NUMBER("next_hop_connections", next_hop_connections,	\
		    "200", 1, 50000),					\
		.doc =							\
		    "Connections to the next hop open at once; "	\
		    "further sessions wait for one. Five at a time "	\
		    "are opened, or a quarter of those that are "	\
		    "open; one that has waited a second for the "	\
		    "greeting does not count, until such ones are a"	\
		    " quarter of all. A session whose login the "	\
		    "next hop checks (auth = pass) keeps one of its"	\
		    " own from the login to its end, also while it "	\
		    "idles; so does one with next_hop_xclient. "	\
		    "These have three quarters at most; past that "	\
		    "the session that has idled longest, and for "	\
		    "next_hop_wait, is ended with 421, and if none "	\
		    "has, the login is answered with 454.",		\
	},								\
	{								\
		TIME("next_hop_wait", next_hop_wait_ms,			\
		    "2s", 0, HOURS(1)),					\
		.doc =							\
		    "When others have waited so long for one of "	\
		    "them, clients that hold one and are slower "	\
		    "than slow_rate are ended with 421, the oldest "	\
		    "first. 0 never ends one. Who waits for "		\
		    "answer_timeout is answered with 451.",		\
	},								\
	{								\
		SIZE("slow_rate", slow_rate, "4K", 1, MIB(100)),	\
		.doc =							\
		    "Bytes a second that a client must send on "	\
		    "average then, over next_hop_wait; a recipient "	\
		    "counts for 4096.",					\
	},								\
	{								\
		NUMBER("next_hop_idle", next_hop_idle, "20", 0, 10000),	\
		.doc =							\
		    "Connections that are kept open without work.",	\
	},								\
	{								\
		TIME("next_hop_idle_timeout", next_hop_idle_timeout_ms,	\
		    "60s", SECONDS(1), HOURS(1)),			\
		.doc =							\
		    "Time after which an idle connection is closed.",	\
	},								\
	{								\
		NUMBER("next_hop_uses", next_hop_uses,			\
		    "0", 0, 1000000000),				\
		.doc =							\
		    "Messages over one connection before it is "	\
		    "closed; the next hop's LIMITS MAILMAX holds "	\
		    "beside it. 0 means no bound for a server whose "	\
		    "greeting names Postfix, Sendmail, OpenSMTPD, "	\
		    "Haraka or Microsoft ESMTP and for LMTP, and 10 "	\
		    "for every other: Exim delivers no more than ten "	\
		    "messages of a connection at once and leaves the "	\
		    "others in its queue "				\
		    "(smtp_accept_queue_per_connection).",		\
	},								\
	{								\
		TIME("next_hop_rest", next_hop_rest_ms,			\
		    "30s", 0, HOURS(1)),				\
		.doc =							\
		    "Time for which a next hop that failed is left "	\
		    "alone while another one works. After it one "	\
		    "connection at a time finds out whether it is "	\
		    "back.",						\
	}
/* clang-format on */

#endif
