/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's interface itself: three calls need no library.
 */
#include "os/caps.h"

#include "os/priv.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAST_CAPABILITY 63

static int
set_caps(uint32_t bits)
{
	struct __user_cap_header_struct header = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
	    {.effective = bits, .permitted = bits}, {0}};

	return syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

/* What is out of the bounding set no program can gain. Allowed with
 * CAP_SETPCAP alone; without it there is less to lose. */
static void
drop_bounding(void)
{
	for (unsigned long c = 0; c <= LAST_CAPABILITY; c++) {
		if (c != CAP_NET_ADMIN)
			(void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
	}
}

int
caps_keep_net_admin(const char *user)
{
	int error = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return errno;
	drop_bounding();
	if (user != NULL && geteuid() == 0) {
		if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
			return errno;
		error = priv_drop(user);
	}
	if (error == 0)
		error = set_caps(1U << CAP_NET_ADMIN);
	/* Not EPERM's fault alone: a process of root without capabilities owns
	 * its files still. */
	(void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	return error;
}
