# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion for weirctl (commands, their options, and what the daemon knows:
# senders, queue ids), for weir-netd and for weir-replay.

# The first texts called $1 in what the daemon answers; nothing when it is away.
_weirctl_ask() {
    local field=$1
    shift
    # A daemon with very many senders is not listed in full.
    weirctl "${_weirctl_socket[@]}" --json "$@" 2>/dev/null | head -n 2000 |
        sed -n "s/^{.*\"$field\":\"\\([^\"\\\\]*\\)\".*/\\1/p"
}

# Those of the lines in $1 that begin with $2. Not compgen -W: it would expand
# them, and senders are what strangers called themselves.
_weirctl_words() {
    local word breaks=${COMP_WORDBREAKS//[^@:=]/}
    COMPREPLY=()
    breaks=${breaks:-$'\n'}
    while IFS= read -r word; do
        if [[ -n $word && $word == "$2"* ]]; then
            # What stands before the last break is not replaced.
            word=${word#"${2%"${2##*["$breaks"]}"}"}
            COMPREPLY+=("$(printf '%q' "$word")")
        fi
    done <<<"$1"
}

_weirctl() {
    # Words by blanks: bash breaks them at @ and : too.
    local line=${COMP_LINE:0:COMP_POINT} words=() cur prev
    cur=${line##*[[:space:]]}
    read -r -a words <<<"${line%"$cur"}"
    prev=${words[-1]}
    local commands="status senders show explain history queue find problems cat release flush discard freeze"
    commands+=" thaw forget learn events trace top audit alert config reload ask token user"
    local command="" options="" i _weirctl_socket=()

    for ((i = 1; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        -s | --socket)
            _weirctl_socket=(-s "${words[i + 1]}")
            ((i++))
            ;;
        -S | -n | --sender | --older | --recipient | --count | --message-id | \
            --mta-id | --subject | --client | --reason | --for | --policy | --newer | \
            --right | --expires | --networks | --domain | --relay)
            ((i++))
            ;;
        -*) ;;
        *)
            command=${words[i]}
            break
            ;;
        esac
    done

    case $prev in
    -s | --socket | --policy)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    -S | --sender)
        _weirctl_words "$(_weirctl_ask sender senders)" "$cur"
        return
        ;;
    --older | --newer | --for | --expires)
        _weirctl_words $'10m\n1h\n2h\n1d' "$cur"
        return
        ;;
    --right)
        _weirctl_words $'view\noperate\nadmin' "$cur"
        return
        ;;
    --networks | --domain | --recipient | -n | --count | --message-id | --mta-id | --subject | --client | \
        --reason | --relay)
        return
        ;;
    esac

    case $command in
    "") options="-s --socket --json -h --help -V --version" ;;
    senders) options="--frozen --busy --relay" ;;
    show | cat) options="--relay" ;;
    explain) options="--client --policy" ;;
    queue) options="--older --newer --recipient --subject --relay" ;;
    find)
        options="--message-id --mta-id --sender --recipient --subject"
        options+=" --client -n --count --relay"
        ;;
    release | flush | discard)
        options="--sender --all --older --newer --recipient --subject --reason"
        options+=" --dry-run --relay"
        [[ $command != discard ]] || options+=" -y --yes"
        ;;
    token) options="--right --expires --networks --domain" ;;
    user) options="--right --domain" ;;
    freeze) options="--reason --for" ;;
    trace) options="--for" ;;
    thaw) options="--release --discard --reason" ;;
    events) options="-f --follow -n --count" ;;
    top | audit | problems) options="-n --count" ;;
    esac

    if [[ $cur == -* ]]; then
        _weirctl_words "${options// /$'\n'}" "$cur"
        return
    fi
    case $command in
    "") _weirctl_words "${commands// /$'\n'}" "$cur" ;;
    show | explain | queue | freeze | forget)
        _weirctl_words "$(_weirctl_ask sender senders)" "$cur"
        ;;
    token) [[ $prev != token ]] || _weirctl_words $'new\nlist\nrevoke' "$cur" ;;
    user) [[ $prev != user ]] || _weirctl_words $'set\nlist\nremove' "$cur" ;;
    thaw) _weirctl_words "$(_weirctl_ask sender senders --frozen)" "$cur" ;;
    alert)
        if [[ $prev == test ]]; then
            _weirctl_words "$(_weirctl_ask alert alert)" "$cur"
        else
            _weirctl_words test "$cur"
        fi
        ;;
    flush)
        _weirctl_words "$(_weirctl_ask id queue)"$'\n'"$(_weirctl_ask sender senders)"$'\nall' "$cur"
        ;;
    learn) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    cat | release | discard)
        _weirctl_words "$(_weirctl_ask id queue)" "$cur"
        ;;
    esac
}

# weir-netd's own options. The file is installed under its name, too.
_weir_netd() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

    case $prev in
    -c) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    --print-rules) _weirctl_words $'nft\niptables' "$cur" ;;
    *)
        _weirctl_words \
            $'-c\n-t\n--print-rules\n--install-rules\n--remove-rules\n-V\n-h' \
            "$cur"
        ;;
    esac
}

_weir_replay() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local options=$'--policy\n--attack\n--json\n'

    if [[ ${COMP_WORDS[1]} =~ ^(log|propose|learn)$ ]]; then
        options+=$'--format\n--my-networks\n--local-domains\n--year\n'
        options+=$'--journal\n'
        case ${COMP_WORDS[1]} in
        log) options+=$'--compare\n--csv\n--html\n' ;;
        propose) options+=$'--target\n--keep-back\n--csv\n--html\n' ;;
        learn) options+=$'--anonymise\n--nodes\n' ;;
        esac
    elif [[ ${COMP_WORDS[1]} == flows ]]; then
        options=$'--profile\n--policy\n--my-networks\n--attack\n'
        options+=$'--propose\n--target\n--keep-back\n--json\n'
    elif [[ ${COMP_WORDS[1]} == epidemic ]]; then
        options=$'--spread\n--hosts\n--rate\n--density\n--deployed\n'
        options+=$'--seed\n--profile\n--policy\n--json\n--html\n'
    else
        options+=$'--nodes\n--no-local\n'
    fi

    case $prev in
    --attack)
        _weirctl_words \
            $'1/60\n1\n10\n200\n10,known=500\n100/1d,packed\n10,users=100\n850,udp' "$cur"
        ;;
    --format)
        _weirctl_words \
            $'auto\npostfix\nexim\nsendmail\nopensmtpd\nexchange\nweir\nrspamd\nkumomta' \
            "$cur"
        ;;
    --spread) _weirctl_words $'random\nlocal\ncontacts' "$cur" ;;
    --deployed) _weirctl_words $'0,50,75,100' "$cur" ;;
    --rate) _weirctl_words $'1\n10\n200\n1/60' "$cur" ;;
    --target) _weirctl_words $'0.01%\n0.1%\n1%' "$cur" ;;
    --hosts | --density | --seed) ;;
    --profile) _weirctl_words $'workstation\nserver\ngateway\npaper' "$cur" ;;
    --policy | --my-networks | --local-domains | --year | --keep-back) ;;
    *)
        if [[ $cur == -* ]]; then
            _weirctl_words "$options"$'-c\n-V\n-h' "$cur"
        elif ((COMP_CWORD == 1)); then
            _weirctl_words $'trace\nflows\nhistory\nlog\npropose\nlearn\nverify\nepidemic' "$cur"
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        ;;
    esac
}

complete -F _weirctl weirctl
complete -F _weir_netd weir-netd
complete -F _weir_replay weir-replay
