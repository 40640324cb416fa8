/* SPDX-License-Identifier: BSD-3-Clause */
#include "alert/alert_event.h"

const struct alert_event_info alert_event_info[ALERT_EVENT_MAX] = {
#define ALERT_EVENT_ROW(id, name, of, lasts, preset, when, one, many, advice) \
	{name, ALERT_OF_##of, lasts, one, many, advice},
    ALERT_EVENT_TABLE(ALERT_EVENT_ROW)
#undef ALERT_EVENT_ROW
	{"test", ALERT_OF_THING, false, "sends a test", "tests",
	    "No action needed"},
};

bool
alert_event_find(struct str name, enum alert_event *out)
{
	for (size_t i = 0; i < ALERT_TEST; i++) {
		if (str_eq(name, str_from(alert_event_info[i].name))) {
			*out = (enum alert_event)i;
			return true;
		}
	}
	return false;
}
