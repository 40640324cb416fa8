# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion for weirctl (commands, their options, and what the daemon knows:
# senders, queue ids) and for weir-netd.

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
    local commands="status senders show queue cat release flush discard freeze"
    commands+=" thaw forget events top audit config reload"
    local command="" options="" i _weirctl_socket=()

    for ((i = 1; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        -s | --socket)
            _weirctl_socket=(-s "${words[i + 1]}")
            ((i++))
            ;;
        -S | -n | --sender | --older | --recipient | --count)
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
    -s | --socket)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    -S | --sender)
        _weirctl_words "$(_weirctl_ask sender senders)" "$cur"
        return
        ;;
    --older)
        _weirctl_words $'10m\n1h\n2h\n1d' "$cur"
        return
        ;;
    --recipient | -n | --count)
        return
        ;;
    esac

    case $command in
    "") options="-s --socket --json -h --help -V --version" ;;
    senders) options="--frozen --busy" ;;
    queue) options="--older --recipient" ;;
    release | flush) options="--sender --all --older --recipient" ;;
    discard) options="--sender --all --older --recipient -y --yes" ;;
    thaw) options="--release --discard" ;;
    events) options="-f --follow -n --count" ;;
    top | audit) options="-n --count" ;;
    esac

    if [[ $cur == -* ]]; then
        _weirctl_words "${options// /$'\n'}" "$cur"
        return
    fi
    case $command in
    "") _weirctl_words "${commands// /$'\n'}" "$cur" ;;
    show | queue | freeze | forget)
        _weirctl_words "$(_weirctl_ask sender senders)" "$cur"
        ;;
    thaw) _weirctl_words "$(_weirctl_ask sender senders --frozen)" "$cur" ;;
    flush)
        _weirctl_words "$(_weirctl_ask id queue)"$'\n'"$(_weirctl_ask sender senders)"$'\nall' "$cur"
        ;;
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

complete -F _weirctl weirctl
complete -F _weir_netd weir-netd
