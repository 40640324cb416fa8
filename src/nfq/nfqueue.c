/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages are received many at a time, and answered many at a time: one
 * verdict for all up to an id where all of them pass and nothing else
 * waits (a batch verdict would let what waits go too), else one message with
 * many verdicts.
 *
 * An overrun loses nothing that waits: the kernel has passed or dropped the
 * packet, as fail_open says, and goes on.
 */
#include "config.h"

#include "nfq/nfqueue.h"

#include "os/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BURST 64         /* messages of one system call */
#define TURN_MAX 16      /* such calls in one turn: others want theirs */
#define OVERHEAD 512     /* of a message beside the packet's bytes */
#define VERDICTS_MAX 256 /* of one message */
#define VERDICT_BYTES 64 /* of one verdict, at most */
#define PROC_FILE "/proc/self/net/netfilter/nfnetlink_queue"
#define PROC_MAX ((size_t)1 << 20)
#define SOCKET_BYTES (8 << 20)

struct nfqueue_pending {
	uint32_t id;
	uint32_t mark; /* to be set, if sets_mark */
	int verdict;   /* NF_* */
	bool sets_mark, waited;
};

struct nfqueue {
	struct nfqueue_options options;
	const struct nfqueue_ops *ops;
	void *arg;
	struct mnl_socket *socket;
	struct loop_watch *watch;
	struct loop_task flush;
	size_t slot_bytes;
	char *slots; /* BURST of them */
	struct iovec iov[BURST];
	struct mmsghdr msgs[BURST];
	struct nfqueue_pending pending[VERDICTS_MAX];
	size_t pending_count;
	uint64_t open; /* packets without a verdict */
	bool repeats;
	alignas(struct nlmsghdr) char out[VERDICTS_MAX * VERDICT_BYTES];
	struct nfqueue_stats stats;
};

/* ---- verdicts ---- */

static void
send_out(struct nfqueue *q, size_t n)
{
	/* A netlink send to the kernel is worked off within the call. */
	if (mnl_socket_sendto(q->socket, q->out, n) < 0)
		q->stats.errors++;
}

/* A batch verdict is the same for all, and for what waits, too. */
static bool
can_batch(const struct nfqueue *q)
{
	if (q->open > 0 || q->pending_count < 2)
		return false;
	for (size_t i = 0; i < q->pending_count; i++) {
		const struct nfqueue_pending *p = &q->pending[i];

		if (p->verdict == NF_DROP || p->waited ||
		    p->verdict != q->pending[0].verdict ||
		    p->sets_mark != q->pending[0].sets_mark ||
		    p->mark != q->pending[0].mark)
			return false;
	}
	return true;
}

static uint32_t
last_id(const struct nfqueue *q)
{
	uint32_t last = q->pending[0].id;

	for (size_t i = 1; i < q->pending_count; i++) {
		if ((int32_t)(q->pending[i].id - last) > 0)
			last = q->pending[i].id;
	}
	return last;
}

static size_t
put_verdict(struct nfqueue *q, size_t at, int type, uint32_t id,
    const struct nfqueue_pending *p)
{
	struct nlmsghdr *nlh =
	    nfq_nlmsg_put(q->out + at, type, q->options.number);

	/* An error brings it back. */
	nlh->nlmsg_seq = p->waited;
	nfq_nlmsg_verdict_put(nlh, (int)id, p->verdict);
	if (p->sets_mark)
		nfq_nlmsg_verdict_put_mark(nlh, p->mark);
	return at + MNL_ALIGN(nlh->nlmsg_len);
}

static void
send_batch(struct nfqueue *q)
{
	q->stats.batches++;
	send_out(q, put_verdict(q, 0, NFQNL_MSG_VERDICT_BATCH, last_id(q),
			&q->pending[0]));
}

static void
send_each(struct nfqueue *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->pending_count; i++)
		n = put_verdict(
		    q, n, NFQNL_MSG_VERDICT, q->pending[i].id, &q->pending[i]);
	send_out(q, n);
}

static void
flush(struct nfqueue *q)
{
	if (q->pending_count == 0)
		return;
	q->stats.verdicts += q->pending_count;
	if (can_batch(q))
		send_batch(q);
	else
		send_each(q);
	q->pending_count = 0;
}

static void
on_flush(void *arg, int64_t now)
{
	(void)now;
	flush(arg);
}

static void
add_verdict(struct nfqueue *q, struct nfqueue_pending p)
{
	if (q->pending_count == VERDICTS_MAX)
		flush(q);
	q->pending[q->pending_count++] = p;
	if (q->open > 0)
		q->open--;
	loop_task_set(&q->flush);
}

static struct nfqueue_pending
with_mark(uint32_t id, int verdict, uint32_t mark)
{
	return (struct nfqueue_pending){
	    .id = id, .verdict = verdict, .mark = mark, .sets_mark = true};
}

void
nfqueue_set_repeat(struct nfqueue *q, bool repeats)
{
	q->repeats = repeats;
}

void
nfqueue_set_verdict(
    struct nfqueue *q, uint32_t id, uint32_t mark, enum nfqueue_verdict verdict)
{
	struct nfqueue_pending p = {.id = id, .verdict = NF_ACCEPT};

	switch (verdict) {
	case NFQUEUE_PASS:
	case NFQUEUE_RELEASE:
		if (q->repeats)
			p = with_mark(
			    id, NF_REPEAT, mark | q->options.pass_mark);
		p.waited = verdict == NFQUEUE_RELEASE;
		break;
	case NFQUEUE_DROP:
		p.verdict = NF_DROP;
		break;
	case NFQUEUE_MARKED:
		p = with_mark(id, NF_ACCEPT, mark | q->options.reject_mark);
		break;
	}
	add_verdict(q, p);
}

/* ---- packets ---- */

static struct str
get_mac(const struct nlattr *attr)
{
	const struct nfqnl_msg_packet_hw *hw = mnl_attr_get_payload(attr);

	if (mnl_attr_get_payload_len(attr) < sizeof(*hw) ||
	    ntohs(hw->hw_addrlen) != NFQUEUE_MAC)
		return (struct str){"", 0};
	return (struct str){(const char *)hw->hw_addr, NFQUEUE_MAC};
}

static void
take_packet(struct nfqueue *q, const struct nlmsghdr *nlh, int64_t now)
{
	struct nlattr *attr[NFQA_MAX + 1] = {NULL};
	struct nfqnl_msg_packet_hdr *header;
	struct nfqueue_packet p = {.bytes = {"", 0}, .mac = {"", 0}};

	if (nfq_nlmsg_parse(nlh, attr) < 0 || attr[NFQA_PACKET_HDR] == NULL)
		return;
	header = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	p.id = ntohl(header->packet_id);
	p.hook = header->hook;
	if (attr[NFQA_PAYLOAD] != NULL)
		p.bytes = (struct str){mnl_attr_get_payload(attr[NFQA_PAYLOAD]),
		    mnl_attr_get_payload_len(attr[NFQA_PAYLOAD])};
	if (attr[NFQA_IFINDEX_INDEV] != NULL)
		p.indev = ntohl(mnl_attr_get_u32(attr[NFQA_IFINDEX_INDEV]));
	if (attr[NFQA_HWADDR] != NULL)
		p.mac = get_mac(attr[NFQA_HWADDR]);
	if (attr[NFQA_MARK] != NULL)
		p.mark = ntohl(mnl_attr_get_u32(attr[NFQA_MARK]));
	q->stats.packets++;
	q->open++;
	/* Rules that were printed by another version: once round is enough. */
	if (q->repeats &&
	    (p.mark & q->options.pass_mark) == q->options.pass_mark) {
		q->stats.loops++;
		add_verdict(q,
		    with_mark(p.id, NF_ACCEPT, p.mark & ~q->options.pass_mark));
		return;
	}
	q->ops->on_packet(q->arg, &p, now);
}

static void
take_error(struct nfqueue *q, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e) ||
	    e->error != -ENOENT) {
		q->stats.errors++;
		return;
	}
	q->stats.lost++;
	if (e->msg.nlmsg_seq != 0 && q->ops->on_lost != NULL)
		q->ops->on_lost(q->arg);
}

static void
take_message(struct nfqueue *q, const char *p, size_t n, int64_t now)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)p;
	int left = (int)n;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		if (nlh->nlmsg_type == NLMSG_ERROR)
			take_error(q, nlh);
		else if (nlh->nlmsg_type ==
			 (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
			take_packet(q, nlh, now);
	}
}

/* False: nothing more is there. */
static bool
take_burst(struct nfqueue *q, int64_t now)
{
	int n = recvmmsg(
	    mnl_socket_get_fd(q->socket), q->msgs, BURST, MSG_DONTWAIT, NULL);

	if (n < 0 && errno == ENOBUFS) {
		q->stats.overruns++;
		return true;
	}
	for (int i = 0; i < n; i++)
		take_message(q, q->slots + (size_t)i * q->slot_bytes,
		    q->msgs[i].msg_len, now);
	return n == BURST;
}

static void
on_readable(void *arg, int64_t now)
{
	struct nfqueue *q = arg;

	for (int i = 0; i < TURN_MAX; i++) {
		bool more = take_burst(q, now);

		flush(q);
		if (!more)
			break;
	}
	q->ops->on_turn(q->arg, now);
}

/* ---- the start ---- */

static int
ask(struct nfqueue *q, struct nlmsghdr *nlh)
{
	alignas(struct nlmsghdr) char buf[4096];
	ssize_t n;

	nlh->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(q->socket, nlh, nlh->nlmsg_len) < 0)
		return -1;
	n = mnl_socket_recvfrom(q->socket, buf, sizeof(buf));
	if (n < 0)
		return -1;
	return mnl_cb_run(
	    buf, (size_t)n, 0, mnl_socket_get_portid(q->socket), NULL, NULL);
}

static int
bind_queue(struct nfqueue *q)
{
	struct nlmsghdr *nlh =
	    nfq_nlmsg_put(q->out, NFQNL_MSG_CONFIG, q->options.number);

	nfq_nlmsg_cfg_put_cmd(nlh, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	return ask(q, nlh);
}

static int
set_options(struct nfqueue *q)
{
	struct nlmsghdr *nlh =
	    nfq_nlmsg_put(q->out, NFQNL_MSG_CONFIG, q->options.number);
	uint32_t flags = q->options.fail_open ? NFQA_CFG_F_FAIL_OPEN : 0;

	nfq_nlmsg_cfg_put_qmaxlen(nlh, q->options.length);
	/* Packets come as the interface would segment them: only their first
	 * headers matter, so they need not be split before. */
	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(flags | NFQA_CFG_F_GSO));
	mnl_attr_put_u32(
	    nlh, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO));
	return ask(q, nlh);
}

/* From here on packets come, where rules are in place already. So it is last,
 * and asks for no answer, which one of them might be taken for. */
static int
begin_packets(struct nfqueue *q)
{
	struct nlmsghdr *nlh =
	    nfq_nlmsg_put(q->out, NFQNL_MSG_CONFIG, q->options.number);

	nfq_nlmsg_cfg_put_params(
	    nlh, NFQNL_COPY_PACKET, (int)q->options.copy_bytes);
	return (int)mnl_socket_sendto(q->socket, nlh, nlh->nlmsg_len);
}

static bool
open_socket(struct nfqueue *q, char *err, size_t cap)
{
	int bytes = SOCKET_BYTES;

	q->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (q->socket == NULL ||
	    mnl_socket_bind(q->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		snprintf(err, cap, "netlink: %s", strerror(errno));
		return false;
	}
	/* Larger than the system's bound: allowed to CAP_NET_ADMIN. */
	(void)setsockopt(mnl_socket_get_fd(q->socket), SOL_SOCKET,
	    SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (bind_queue(q) < 0 || set_options(q) < 0 || begin_packets(q) < 0) {
		snprintf(err, cap, "netfilter queue %u: %s%s",
		    q->options.number, strerror(errno),
		    errno == EPERM ? "; it needs CAP_NET_ADMIN, and another "
				     "program may have this queue"
				   : "");
		return false;
	}
	return true;
}

struct nfqueue *
nfqueue_new(struct loop *loop, const struct nfqueue_options *options,
    const struct nfqueue_ops *ops, void *arg, char *err, size_t cap)
{
	struct nfqueue *q = xcalloc(1, sizeof(*q));

	q->options = *options;
	q->ops = ops;
	q->arg = arg;
	loop_task_init(&q->flush, loop, on_flush, q);
	q->slot_bytes = MNL_ALIGN(q->options.copy_bytes + OVERHEAD);
	q->slots = xmalloc(q->slot_bytes * BURST);
	for (size_t i = 0; i < BURST; i++) {
		q->iov[i] =
		    (struct iovec){q->slots + i * q->slot_bytes, q->slot_bytes};
		q->msgs[i].msg_hdr.msg_iov = &q->iov[i];
		q->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	if (!open_socket(q, err, cap)) {
		nfqueue_free(q);
		return NULL;
	}
	q->watch =
	    loop_watch_new(loop, mnl_socket_get_fd(q->socket), on_readable, q);
	return q;
}

/* "number portid waiting ..." for each queue. */
static bool
waits_none(struct str text, uint16_t number)
{
	while (text.n > 0) {
		struct str line = str_trim(str_cut(&text, '\n'));
		uint64_t v[3];

		for (int i = 0; i < 3; i++) {
			if (!str_to_u64(str_cut(&line, ' '), &v[i]))
				return false;
			line = str_trim(line);
		}
		if (v[0] == number)
			return v[2] == 0;
	}
	return false;
}

bool
nfqueue_lost_all(struct nfqueue *q)
{
	struct buf text;
	bool lost;

	flush(q);
	if (q->open == 0)
		return false;
	buf_init(&text, PROC_MAX);
	lost = file_read(PROC_FILE, PROC_MAX, &text) == 0 &&
	       waits_none(buf_str(&text), q->options.number);
	buf_clear(&text);
	if (lost)
		q->open = 0;
	return lost;
}

void
nfqueue_free(struct nfqueue *q)
{
	if (q == NULL)
		return;
	if (q->socket != NULL)
		flush(q);
	loop_task_clear(&q->flush);
	if (q->watch != NULL)
		loop_watch_free(q->watch);
	if (q->socket != NULL)
		mnl_socket_close(q->socket);
	free(q->slots);
	free(q);
}

const struct nfqueue_stats *
nfqueue_get_stats(const struct nfqueue *q)
{
	return &q->stats;
}
