#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# A freeze_command for weir-maild: sends mail to the administrator when a sender
# is frozen. curl sends it directly to the mail server behind weir, so it works
# where setuid programs such as sendmail are not allowed (the hardened systemd
# unit). Copy this file, change server, to and from, and set the copy in
# weir.conf:
#
#	freeze_command = "/etc/weir/freeze-mail.sh"
set -eu

server=${FREEZE_MAIL_SERVER:-smtp://127.0.0.1:10025}
to=${FREEZE_MAIL_TO:-postmaster@example.org}
from=${FREEZE_MAIL_FROM:-weir@example.org}

# A sender's name comes from outside: only printable ASCII, and short.
clean() {
    printf '%s' "$1" | LC_ALL=C tr -cd ' -~' | cut -c 1-200
}

# One shell word with any contents, for the example commands.
quoted() {
    printf "'%s'" "$(clean "$1" | sed "s/'/'\\\\''/g")"
}

sender=$(clean "$WEIR_SENDER")

{
    printf 'From: weir <%s>\n' "$from"
    printf 'To: %s\n' "$to"
    printf 'Subject: weir froze %s\n' "$sender"
    printf 'Date: %s\n' "$(LC_ALL=C date -R)"
    printf 'Auto-Submitted: auto-generated\n'
    printf '\n'
    printf 'Sender:  %s\n' "$sender"
    printf 'Policy:  %s\n' "$(clean "$WEIR_POLICY")"
    printf 'Reason:  %s\n' "$(clean "$WEIR_REASON")"
    printf 'Queue:   %s recipients are waiting (freeze_at: %s)\n' \
        "$(clean "$WEIR_QUEUE_LENGTH")" "$(clean "$WEIR_FREEZE_AT")"
    printf 'Time:    %s\n\n' "$(clean "$WEIR_TIME")"
    # These are set only for mail.
    if [ -n "${WEIR_PASSED:-}" ]; then
        printf 'Passed:  %s new recipients were sent mail recently\n' \
            "$(clean "$WEIR_PASSED")"
        printf 'Clients: %s\n' "$(clean "${WEIR_CLIENTS:-}")"
        printf 'Mail:    %s\n\n' "$(clean "${WEIR_SUBJECTS:-}")"
        printf 'If the account is stolen, change its password before the thaw.\n'
        printf 'Otherwise the attacker continues.\n\n'
    fi
    printf 'No mail is lost. To list the held mail, then release or discard it:\n\n'
    printf '  weirctl queue %s\n' "$(quoted "$WEIR_SENDER")"
    printf '  weirctl thaw %s --release\n' "$(quoted "$WEIR_SENDER")"
    printf '  weirctl thaw %s --discard\n' "$(quoted "$WEIR_SENDER")"
} | sed 's/$/\r/' | curl --silent --show-error --max-time 60 \
    --url "$server" --mail-from "$from" --mail-rcpt "$to" --upload-file -
