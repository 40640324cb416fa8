/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the relay share: a session owns its connection and engine,
 * a transaction its recipients, a hop transaction the next hop's part in it.
 *
 *	relay.c		accepting, caps per client, drain
 *	relay_state.c	the states of all of these, and which follows which
 *	relay_shed.c	idle sessions make room for others
 *	relay_session.c	connection <-> server engine
 *	relay_hello.c	EHLO: what the next hop offers
 *	relay_identity.c who the client is: PROXY, XCLIENT, XFORWARD
 *	relay_login.c	AUTH
 *	relay_private_conn.c a session's private connection to the next hop
 *	relay_tls.c	a session's way to TLS
 *	relay_txn.c	MAIL, RCPT: verdicts and who takes part
 *	relay_end.c	DATA, the final dot, and the one honest reply
 *	relay_hop_txn.c	a transaction's way to the next hop
 *	relay_lmtp.c	a next hop that judges each recipient by itself
 *	relay_stress.c	a line for the next hop's connections, and who is slow
 *	relay_tarpit.c	late replies to frozen senders
 *	relay_words.c	trace header, replies in words, the log line
 *
 * Session, transaction, hop transaction, private connection and login each
 * have a state that one x_set_state writes. It panics on a move that its table
 * does not have: nothing that a client or a next hop says can cause one. None
 * of the five is freed before the end of the turn, so a caller may still look
 * at what its call has ended:
 *
 *	session	ends in whatever answers the client (smtp_server_reply at a
 *		cap, session_close, session_pump), with session_end, and when
 *		its connection breaks. From then on it is SESSION_ENDED, has
 *		no txn, login or private_conn, and its conn is closed.
 *	txn	ends in whatever may answer its question (hop_txn_rcpt,
 *		hop_txn_data, hop_txn_end, txn_reply, txn_end_answer, ...), and
 *		with its session unless the final dot has come. From then on it
 *		is TXN_OVER and has neither session nor gate; its hop
 *		transactions are dead.
 *	hop_txn	ends with hop_txn_leave, hop_txn_give_up, and when the next hop
 *		refuses or goes away. From then on it is HOP_TXN_DEAD without a
 *		hop.
 *	private_conn ends with private_conn_forget; while a hop transaction uses
 *		it, with private_conn_put.
 *	login	ends in whatever answers it, and with login_drop: s->login is
 *		NULL from then on.
 */
#ifndef RELAY_RELAY_INTERNAL_H
#define RELAY_RELAY_INTERNAL_H

#include "front/room.h"
#include "relay/ask_guard.h"
#include "relay/auth_guard.h"
#include "relay/auth_link.h"
#include "relay/late.h"
#include "relay/relay.h"
#include "smtp/dsn.h"
#include "smtp/header_names.h"
#include "smtp/opening.h"

#include "base/share.h"
#include "os/tap.h"

enum relay_limit { /* of those that a flood runs into */
	RELAY_SESSIONS_MAX,
	RELAY_CLIENT_SESSIONS_MAX,
	RELAY_ENVELOPE_MEMORY,
	RELAY_HELD_MAX,
	RELAY_HELD_BYTES_MAX,
	RELAY_NEXT_HOP_CONNECTIONS,
	RELAY_AUTH_FAILURES_MAX,
	RELAY_REFUSED_MAX,
	RELAY_MIN_FREE,
	RELAY_LIMITS
};

/* A line in the log for each refusal would fill the disk: one a second. */
struct relay_limit_report {
	int64_t next;
	uint64_t kept_back;
};

struct relay {
	struct relay_parts parts;
	const struct relay_settings *settings;
	struct list sessions; /* the one that said something last is last */
	struct list txns;
	/* What ended in this turn, freed at its end. */
	struct list txns_over, private_conns_over, logins_over;
	struct loop_task reap;
	struct list settles; /* of relay_end.c, on their way to the disk */
	uint32_t session_count, session_peak;
	uint32_t tarpitted;      /* sessions whose reply comes late */
	struct share *clients;   /* sessions of each */
	struct share *envelopes; /* bytes of recipients, by user or client */
	struct relay_limit_report reported[RELAY_LIMITS];
	struct loop_timer stress; /* of relay_stress.c */
	struct auth_guard *guard;
	uint64_t proof_seed; /* of passwords, see sasl_watch_init */
	struct ask_guard *asked;
	struct late *late;
	struct auth_link *auth_link;
	void (*on_drained)(void *arg);
	void *drained_arg;
	bool draining;
};

struct txn;
struct login;
struct private_conn;

enum session_state {
	SESSION_NEW,
	SESSION_PROXY,     /* a PROXY header comes first */
	SESSION_TLS_FIRST, /* a handshake comes before the greeting */
	SESSION_SILENT,    /* the greeting is held back */
	SESSION_OPEN,      /* greeted: the input is the engine's */
	SESSION_STARTTLS,  /* taken; the handshake follows this input */
	SESSION_SHAKING,   /* that handshake */
	SESSION_ENDED,
};

struct session {
	struct list entry;
	struct relay *relay;
	enum session_state state;
	const struct relay_settings *settings;
	struct smtp_server_limits limits; /* with this client's exceptions */
	struct conn *conn;
	struct smtp_server *server;
	struct loop_timer timer;
	struct loop_task reap;
	struct relay_listen listen; /* without its tls_server */
	struct ip peer;             /* of the connection */
	struct ip client, local;    /* as a proxy or XCLIENT says */
	struct share_user *place;   /* among the clients; NULL: not counted */
	int64_t active_at;          /* the client said something */
	uint16_t client_port, local_port;
	struct nexthop_ends ends; /* of the connection */
	char *client_name;        /* of XCLIENT, NULL: not known */
	unsigned client_temp;     /* of XCLIENT: struct xclient, temp */
	char *user; /* who logged in; NULL: nobody, "": no name was told */
	struct xclient *forwarded; /* XFORWARD, for the next transaction */
	struct login *login;       /* under way */
	struct private_conn *private_conn; /* its connection to the next hop */
	struct tls_server *tls_server;     /* a reference, until TLS begins */
	int64_t tls_timeout_ms;
	struct txn *txn;
	struct hop *caps_hop;    /* asked for its extensions at EHLO */
	int64_t caps_due;        /* then EHLO is answered without them */
	struct late_reply *late; /* of relay_tarpit.c; NULL: none */
	bool pumping;            /* session_pump is on the stack */
	bool blocked;            /* the next hop or the spool is full */
	bool paused;             /* so nothing is read */
	bool said_all;           /* the client has closed its side */
	bool shed;               /* it makes room for another */
	bool login_passed; /* the next hop took the login, over private_conn */
	uint64_t proof;    /* of its password, for the gate; 0: none */
};

enum hop_txn_state {
	HOP_TXN_NONE,
	HOP_TXN_CONNECTING, /* a place in line, or a handshake */
	HOP_TXN_OPEN,       /* MAIL was sent */
	HOP_TXN_DATA,       /* DATA was sent, 354 awaited */
	HOP_TXN_BODY,
	HOP_TXN_END, /* the final dot was sent */
	HOP_TXN_DEAD,
};

/* A transaction's way to the next hop: one to deliver (cut through), one to ask
 * about held recipients (probe). */
struct hop_txn {
	struct txn *txn;
	struct hop *hop;
	struct private_conn
	    *private_conn; /* that lends the hop; NULL: it is the pool's */
	bool reused;
	enum hop_txn_state state;
	bool is_probe;
	bool rcpt_waits; /* a RCPT is unanswered, */
	bool data_waits; /* or DATA */
	bool retried;    /* on another connection, for this one was over; */
	bool lined_up;   /* for there were as many as may be */
	/* RCPTs said once more there, whose replies are to come; and whether
	 * one of them was refused. */
	uint32_t again;
	bool again_refused;
	bool login_wanted; /* by the refusal of MAIL: no word on the mail */
	bool text_refused; /* before its end, in the words below */
	bool mail_refused;
	bool tls_lost;    /* REQUIRETLS cannot be kept, */
	bool in_plain;    /* for want of TLS at all */
	bool is_mute;     /* its peer refused EHLO, and may not the next time */
	const char *lost; /* what the text needs is not offered; static */
	bool in_doubt; /* the dot was sent, and the next hop has not refused */
	unsigned accepted;
	unsigned mail_code; /* what MAIL, or the text, was refused with */
	char mail_enhanced[SMTP_ENHANCED_MAX];
	char *mail_text; /* NULL: none */
};

struct relay_rcpt {
	char *address;
	char *orcpt;    /* NULL: none */
	uint32_t bytes; /* taken of the envelopes' share */
	unsigned notify;
	bool cut; /* goes to the next hop within the session */
	/* LMTP: what the next hop said after the text; 0: not yet. */
	unsigned verdict;
	char verdict_enhanced[SMTP_ENHANCED_MAX];
	char *verdict_text; /* of a refusal */
};

enum txn_state {
	TXN_NEW,
	TXN_MAIL,     /* the gate is asked about the sender */
	TXN_ENVELOPE, /* the client's turn: RCPT or DATA */
	TXN_RCPT,     /* gate and next hop are asked about a recipient */
	TXN_DATA,     /* they are asked for the text */
	TXN_TEXT,     /* the client's turn: the text */
	TXN_END,      /* the final dot has come, the reply is awaited */
	TXN_LEFT,     /* the same, by a client that is gone */
	TXN_LATE,     /* the same, and the client was told 451 */
	TXN_OVER,
};

/* From MAIL to the reply after the final dot. Lives on without its session once
 * the dot has come. */
struct txn {
	struct list entry;
	struct relay *relay;
	enum txn_state state;
	struct session *session; /* NULL from TXN_LEFT on */
	struct gate_txn *gate;
	uint64_t id;
	struct smtp_mail mail;
	char *from, *envid;
	struct relay_rcpt *rcpts;
	size_t rcpt_count, rcpt_cap;
	size_t held_count;
	struct relay_rcpt asked;  /* the recipient that is in question */
	struct spool_stake stake; /* of what is held */
	uint64_t held_size;       /* of the text for the spool so far */
	char *no_room;            /* which found none, in words; NULL: it did */
	struct share_user *room;  /* of its envelope; NULL: no recipient yet */
	char held_why[200];
	struct hop_txn cut, probe;
	struct spool_body *body;
	/* The text once more, for recipients that an LMTP next hop refuses
	 * after it took others; NULL: not needed. */
	struct spool_body *spare;
	uint64_t spare_id;
	/* Of envelope and text, and then what it came to. NULL: not asked for.
	 */
	struct late_text *late_text;
	struct hash128 late_key;
	bool late_may; /* the next hop has all of it, or nothing; */
	bool doubted;  /* and the client may never hear which: remembered */
	bool has_message_id;
	int64_t answer_due; /* TXN_END: 451 from here on */
	/* How fast it goes while others wait: relay_stress.c. 0: not yet. */
	int64_t measured_since;
	uint64_t measured_from;
	int64_t started_at; /* wall */
	struct smtp_opening opening;
	struct smtp_header_names *names; /* of the header; NULL: who cares */
	struct smtp_dsn *report;         /* the same of a bounce */
	bool chunked;                    /* its text comes by BDAT */
	/* At the end: what is on its way to the disk, and the first that came
	 * back as a failure or as the gate's no; code 0: none. */
	unsigned unsafe;
	unsigned no_code;
	char no_enhanced[16], *no_text;
	bool is_suspect;   /* its replies come late (tarpit) */
	bool data_refused; /* not the client\'s doing, should it give up */
	bool whole, trace_due, spooled, held_blocked, spare_blocked;
	struct ip client;
	bool forwarded;               /* the client is another's, by XFORWARD */
	const char *tls, *tls_cipher; /* static; NULL: plain */
	char *helo;
	char *subject;
	char *message_id; /* without brackets; NULL: none */
	uint64_t size;
	size_t trace_size; /* what weir has added to it */
};

/* relay_state.c */
/* By state: what it is called, and bits of the states that it may follow. */
struct relay_states {
	const char *part;
	const char *const *names;
	const uint16_t *may_follow;
};
/* Checks and traces a move; the caller makes it. s or t may be NULL. */
void relay_move(const struct relay_states *states, const struct relay *r,
    const struct session *s, const struct txn *t, unsigned from, unsigned to);
/* Whom a trace is about; s and t may be NULL, and a hop that is there stays. */
void relay_whose(
    const struct session *s, const struct txn *t, struct tap_who *out);
void session_set_state(struct session *s, enum session_state state);
/* The input is the engine's. */
bool session_is_greeted(const struct session *s);
void txn_set_state(struct txn *t, enum txn_state state);
void hop_txn_set_state(struct hop_txn *l, enum hop_txn_state state);

/* relay.c */
void relay_session_ended(struct relay *r, struct session *s);
/* Puts what is over into one of the lists of r. */
void relay_reap_later(struct relay *r, struct list *over, struct list *entry);
/* source: whose mail was put off; NULL: the client itself was turned away. */
void relay_report_limit(struct relay *r, enum relay_limit limit,
    const char *source, const struct ip *client, int64_t now);
/* False: the client has too many sessions; this one is not counted. */
bool relay_count_client(struct session *s);
void relay_uncount_client(struct session *s);

/* relay_shed.c */
/* The client said something, or was answered. */
void session_touch(struct session *s, int64_t now);
/* Ends one session, for a newcomer of a client that has so many. False: there
 * is none that may be ended. */
MUST_CHECK bool relay_shed(struct relay *r, uint64_t has, int64_t now);
/* The same within one client, which has as many as it may. */
MUST_CHECK bool relay_shed_own(
    struct relay *r, const struct share_user *client, int64_t now);

/* relay_tls.c */
void session_tls_init(struct session *s, const struct relay_listen *listen);
void session_tls_clear(struct session *s);
/* Begins the handshake of an implicit listener, or the one that STARTTLS asked
 * for; the session may have ended after it. */
void session_tls_start(struct session *s, int64_t now);
void session_on_tls(void *arg, int64_t now);          /* conn_ops */
void session_on_starttls(void *arg);                  /* smtp_server_ops */
void session_tls_log_end(const struct session *s);    /* a handshake failed */
struct str session_tls_user(const struct session *s); /* "": nobody */
/* Who logged in, else whose certificate was shown. "": nobody. */
struct str session_user(const struct session *s);

/* relay_session.c */
struct session *session_new(struct relay *r, int fd,
    const struct net_addr *peer, const struct relay_listen *listener);
/* After what was written. */
void session_hang_up(struct session *s);
void session_set_timer(struct session *s);
void session_start(struct session *s, int64_t now); /* greets */
void session_end(struct session *s);
void session_close(
    struct session *s, const struct smtp_reply *last_word, int64_t now);
/* An answer was given, or room was made: go on with the input. */
void session_pump(struct session *s, int64_t now);
/* A transaction is over. */
void session_txn_done(struct session *s);
void session_set_blocked(struct session *s, bool blocked, int64_t now);

/* relay_hello.c */
void session_on_helo(
    struct session *s, struct str name, bool esmtp, int64_t now);
/* The next hop has had its time: EHLO is answered without it. */
void session_stop_asking(struct session *s, int64_t now);
void session_drop_helo(struct session *s); /* harmless without one */

/* relay_identity.c */
bool session_set_client(struct session *s, const struct ip *ip, uint16_t port);
bool session_is_mine(const struct session *s);    /* in my_networks, local */
bool session_is_trusted(const struct session *s); /* to say who others are */
/* True: a PROXY header has to come first, or the session has ended. */
bool session_await_proxy(struct session *s, int64_t now);
void session_read_proxy(struct session *s, int64_t now);
void session_proxy_late(struct session *s);
void session_on_xclient(
    struct session *s, const struct xclient *x, int64_t now);
void session_on_xforward(
    struct session *s, const struct xclient *x, int64_t now);
void session_forget_forwarded(struct session *s);
void session_forget_login(struct session *s, int64_t now);

/* relay_login.c */
void login_start(struct session *s, enum sasl_mech mech, bool has_initial,
    struct str initial, int64_t now);
void login_line(struct session *s, struct str line, int64_t now);
void login_drop(struct session *s, int64_t now); /* harmless without one */
int64_t login_due(const struct session *s);
void login_free_all(struct list *over);
void login_run(struct session *s, int64_t now); /* due has passed */
void login_on_hop_ready(struct session *s, int64_t now);
void login_on_hop_reply(
    struct session *s, const struct smtp_reply *reply, int64_t now);
void login_on_hop_fail(
    struct session *s, const struct smtp_reply *reply, int64_t now);

/* relay_private_conn.c */
/* The cut-through of this session goes over a connection of its own. */
bool private_conn_is_needed(const struct session *s);
/* The client has logged in, and the connection that knows it is gone. */
bool private_conn_is_lost(const struct session *s);
void private_conn_start_login(
    struct session *s, int64_t now); /* login_on_hop_... */
struct smtp_client *private_conn_client(
    struct session *s); /* NULL: not ready */
/* The mechanisms that its next hop offers and that may be used there. */
unsigned private_conn_mechs(struct session *s);
/* Begins the login; private_conn_client is there. login_on_hop_reply follows.
 */
void private_conn_auth(struct session *s, enum sasl_mech mech, bool has_initial,
    struct str initial, int64_t now);
void private_conn_forget(struct session *s, int64_t now);
/* Lends it to the hop transaction. False: it cannot be had. */
MUST_CHECK bool private_conn_take(struct hop_txn *l, int64_t now);
bool private_conn_is_ready(const struct private_conn *o);
bool private_conn_is_reused(const struct private_conn *o);
/* The hop transaction gives it back; usable: its transaction is over or
 * abandoned. */
void private_conn_put(struct private_conn *o, bool usable, int64_t now);
void private_conn_free_all(struct list *over);

/* relay_txn.c */
void txn_on_mail(struct session *s, const struct smtp_mail *mail, int64_t now);
void txn_on_rcpt(struct txn *t, const struct smtp_rcpt *rcpt, int64_t now);
/* The hop transaction's word on the recipient in question. reached: the next
 * hop said it; else it could not be asked. */
void txn_rcpt_answer(
    struct txn *t, const struct smtp_reply *reply, bool reached, int64_t now);
/* Answers the open question, if the client is still there. */
void txn_reply(struct txn *t, const struct smtp_reply *reply, int64_t now);
/* It ends before the final dot, or with the relay. */
void txn_abort(struct txn *t, int64_t now);
/* Its recipients were asked about, and no mail to them can come of it by the
 * client's doing: they count into refused_max. */
void txn_only_asked(struct txn *t, int64_t now);
/* Before txn_abort: by the client's doing. */
void txn_given_up(struct txn *t, int64_t now);
/* Commits who may have been reached, gives the others back; the gate's part
 * ends with it. */
void txn_let_go(struct txn *t, int64_t now);
/* Its gate, hop transactions and body are done with: it leaves its session, and
 * gives back what it has taken. */
void txn_over(struct txn *t);
void txn_free_all(struct list *over);

/* relay_end.c */
void txn_on_data(struct txn *t, int64_t now);
void txn_on_body(struct txn *t, struct str chunk, int64_t now);
void txn_on_end(struct txn *t, enum smtp_data_fault fault, int64_t now);
void txn_data_answer(
    struct txn *t, const struct smtp_reply *reply, int64_t now);
void txn_end_answer(struct txn *t, const struct smtp_reply *reply, int64_t now);
void txn_hop_drained(struct txn *t, int64_t now);
/* A disk or a next hop that takes too long: the client is told to come again
 * before it loses patience and sends twice. */
void txn_answer_late(struct txn *t, int64_t now);
/* The client may never hear the reply: what the next hop says is remembered for
 * its next attempt. Harmless before the final dot has gone there. */
void txn_doubt(struct txn *t, int64_t now);
/* What the spool keeps of the envelope, without id and recipients; borrows
 * from t and client. wall in ms. */
struct spool_message txn_spooled(
    const struct txn *t, char client[IP_TEXT_MAX], int64_t wall);
/* Ends the pending state of a message; tried again until it works. */
void txn_settle(struct txn *t, uint64_t id, bool keep);
/* Removes what was stored, and passes the refusal on. */
void txn_take_back(struct txn *t, const struct smtp_reply *reply, int64_t now);
/* 250, with the next hop's words; NULL: it has none of it. */
void txn_accept(struct txn *t, const struct smtp_reply *hop, int64_t now);

/* relay_lmtp.c */
/* Before the text: keeps a copy of it, if verdicts may differ. */
void txn_begin_spare(struct txn *t);
void txn_write_spare(struct txn *t, struct str chunk);
void txn_verdict(struct txn *t, size_t index, const struct smtp_reply *reply);
/* All have come, or no more will. */
void txn_judged(struct txn *t, int64_t now);

/* relay_hop_txn.c */
extern const struct hop_ops hop_txn_ops;
void hop_txn_rcpt(struct hop_txn *l, int64_t now);
void hop_txn_data(struct hop_txn *l, int64_t now);
/* is_decoded: as smtp_encode_decoded takes it. */
void hop_txn_body(
    struct hop_txn *l, struct str chunk, bool is_decoded, int64_t now);
void hop_txn_end(struct hop_txn *l, int64_t now);
/* Gives the connection back, or closes it when DATA was begun. */
void hop_txn_leave(struct hop_txn *l, int64_t now);
/* It has waited for a connection long enough: answered as if there were none.
 */
void hop_txn_give_up(struct hop_txn *l, int64_t now);
bool hop_txn_is_full(const struct hop_txn *l);
bool hop_txn_is_lmtp(const struct hop_txn *l);

/* relay_stress.c */
void relay_stress_init(struct relay *r);
/* A transaction wants a connection: see to it that it does not wait long. */
void relay_stress_watch(struct relay *r, int64_t now);
void relay_relieve(struct relay *r, int64_t now);

/* relay_tarpit.c */
/* True: the open question is answered later. False: it is the caller's to
 * answer now. */
MUST_CHECK bool session_reply_late(
    struct session *s, const struct smtp_reply *reply, int64_t now);
int64_t session_late_due(const struct session *s);
void session_late_run(struct session *s, int64_t now); /* takes one without */
void session_late_drop(struct session *s);             /* the same */

/* relay_words.c */
#define RELAY_TRACE_MAX 1024
struct str relay_trace_header(const struct txn *t, char out[RELAY_TRACE_MAX]);
struct smtp_reply relay_accept_reply(
    const struct txn *t, const struct smtp_reply *hop, char *out, size_t cap);
/* Of a refusal, 451 and its status with it: it may be taken later. */
void relay_make_temporary(struct smtp_reply *reply);
void relay_log_message(
    const struct txn *t, const char *result, const struct smtp_reply *reply);

#endif
