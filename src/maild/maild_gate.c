/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir.conf as the gate takes it: for the daemon, and for weir-replay, which
 * asks what the daemon would do.
 */
#include "maild/maild_gate.h"

#include "smtp/address.h"

struct gate_settings
maild_gate_settings(const struct maild_config *conf)
{
	return (struct gate_settings){
	    .policies = conf->policies,
	    .observe = conf->mode == MAILD_OBSERVE,
	    .contact = conf->contact,
	    .senders_max = conf->senders_max,
	    .login_form = (enum login_form)conf->login_form,
	    .locals = conf->locals,
	    .scopes = conf->scopes,
	    .history_bytes = conf->history_memory,
	    .acquaintances_bytes = conf->acquaintances_memory,
	    .recipient_key = smtp_address_key,
	};
}
