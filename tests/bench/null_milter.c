/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a milter costs that does nothing: the yardstick of bench_milter.py.
 *
 *	null_milter SOCKET [envelope]
 *
 * Alone it asks the MTA for nothing; with "envelope" for MAIL, RCPT and DATA,
 * which it answers at once.
 */
#include <libmilter/mfapi.h>
#include <string.h>

static unsigned long no_steps;

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2,
    unsigned long f3, unsigned long *pf0, unsigned long *pf1,
    unsigned long *pf2, unsigned long *pf3)
{
	(void)ctx;
	(void)f0;
	(void)f2;
	(void)f3;
	*pf0 = *pf2 = *pf3 = 0;
	*pf1 = f1 & no_steps;
	return SMFIS_CONTINUE;
}

static sfsistat
on_envelope(SMFICTX *ctx, char **argv)
{
	(void)ctx;
	(void)argv;
	return SMFIS_CONTINUE;
}

static sfsistat
on_data(SMFICTX *ctx)
{
	(void)ctx;
	return SMFIS_CONTINUE;
}

int
main(int argc, char **argv)
{
	static char name[] = "null";
	struct smfiDesc desc = {
	    .xxfi_name = name,
	    .xxfi_version = SMFI_VERSION,
	    .xxfi_negotiate = on_negotiate,
	};

	no_steps = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOHDRS | SMFIP_NOEOH |
		   SMFIP_NOBODY | SMFIP_NOUNKNOWN;
	if (argc < 2)
		return 64;
	if (argc > 2 && strcmp(argv[2], "envelope") == 0) {
		desc.xxfi_envfrom = on_envelope;
		desc.xxfi_envrcpt = on_envelope;
		desc.xxfi_data = on_data;
	} else {
		no_steps |= SMFIP_NOMAIL | SMFIP_NORCPT | SMFIP_NODATA;
	}
	if (smfi_setconn(argv[1]) != MI_SUCCESS ||
	    smfi_register(desc) != MI_SUCCESS)
		return 69;
	return smfi_main() == MI_SUCCESS ? 0 : 69;
}
