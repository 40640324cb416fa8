/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RFC 3461 section 4.1: without NOTIFY the next hop reports failures, and may
 * report delays.
 */
#include "front/foreign_path.h"

#include "smtp/envelope.h"

unsigned
foreign_path_ret(const struct gate_txn *gate, unsigned ret)
{
	return gate_txn_path(gate) == GATE_PATH_KNOWN ? ret : SMTP_RET_HDRS;
}

unsigned
foreign_path_notify(const struct gate_txn *gate, unsigned notify)
{
	enum gate_path path = gate_txn_path(gate);

	if (path == GATE_PATH_KNOWN)
		return notify;
	if (path == GATE_PATH_HELD && notify == 0)
		return SMTP_NOTIFY_FAILURE;
	if (notify == 0)
		return 0;
	notify &= ~(unsigned)SMTP_NOTIFY_SUCCESS;
	if (path == GATE_PATH_HELD)
		notify &= ~(unsigned)SMTP_NOTIFY_DELAY;
	return notify == 0 ? SMTP_NOTIFY_NEVER : notify;
}
