#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# A freeze_command for weir-maild: mails the administrator when a sender is
# frozen. The mail goes straight to the mail server behind weir, with curl, so
# that it works where setuid programs such as sendmail are not allowed (the
# hardened systemd unit). Copy it, change the three lines, and name the copy in
# weir.conf:
#
#	freeze_command = "/etc/weir/freeze-mail.sh"
set -eu

server=${FREEZE_MAIL_SERVER:-smtp://127.0.0.1:10025}
to=${FREEZE_MAIL_TO:-postmaster@example.org}
from=${FREEZE_MAIL_FROM:-weir@example.org}

# A sender is what a stranger called itself: printable ASCII alone, and short.
clean() {
    printf '%s' "$1" | LC_ALL=C tr -cd ' -~' | cut -c 1-200
}

# For the example commands: one shell word, whatever is in it.
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
    printf 'Queue:   %s recipients wait, the policy allows %s\n' \
        "$(clean "$WEIR_QUEUE_LENGTH")" "$(clean "$WEIR_FREEZE_AT")"
    printf 'Time:    %s\n\n' "$(clean "$WEIR_TIME")"
    # These come with mail alone.
    if [ -n "${WEIR_PASSED:-}" ]; then
        printf 'Passed:  %s new recipients got mail of it lately\n' \
            "$(clean "$WEIR_PASSED")"
        printf 'Clients: %s\n' "$(clean "${WEIR_CLIENTS:-}")"
        printf 'Mail:    %s\n\n' "$(clean "${WEIR_SUBJECTS:-}")"
        printf 'If the account is stolen, change its password before the thaw:\n'
        printf 'whoever has it would go on.\n\n'
    fi
    printf 'Nothing is lost. To look, then to let go or to remove:\n\n'
    printf '  weirctl queue %s\n' "$(quoted "$WEIR_SENDER")"
    printf '  weirctl thaw %s --release\n' "$(quoted "$WEIR_SENDER")"
    printf '  weirctl thaw %s --discard\n' "$(quoted "$WEIR_SENDER")"
} | sed 's/$/\r/' | curl --silent --show-error --max-time 60 \
    --url "$server" --mail-from "$from" --mail-rcpt "$to" --upload-file -
