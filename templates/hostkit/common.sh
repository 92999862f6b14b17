# Shared by Mainstay's host scripts: the journal, and how it is played back.
#
# A journal is a folder: `touched` (paths in the order of their first change), `made` (folders that were not there),
# `old/<line of touched>` (what stood at the path, with owner and mode; nothing where nothing stood), `units/` (enabled
# and active, before), `ready/` (a probe that a unit must pass after it was started again), `actions`
# (check<TAB>activate: what makes the files count), `late` (paths that were not there, to be taken away last), `state`.
set -euo pipefail
umask 077
root=${MAINSTAY_ROOT:-/var/lib/mainstay}
# The folder of this version, not the link: a run keeps the scripts that it began with.
# shellcheck disable=SC2034  # for the scripts that source this
kit=${MAINSTAY_KIT:-$(cd -- "${BASH_SOURCE[0]%/*}" && pwd -P)}
export LC_ALL=C.UTF-8

die() { printf 'mainstay: %s\n' "$*" >&2; exit 1; }

ignore_signals() { # the laptop may go away in mid-step: what has begun is finished or undone, whoever listens
    trap '' HUP INT PIPE TERM
}

lock() { # seconds: one script at a time changes this host; fails when the other one takes longer
    mkdir -p "$root"
    exec 9> "$root/lock"
    flock -w "$1" 9
}

run_within() { # seconds, command: quiet when it succeeds, the end of its output when it does not
    local out status=0
    out=$(timeout -k 5 "$1" bash -c "$2" </dev/null 2>&1 9>&-) || status=$?
    [ "$status" != 0 ] || return 0
    [ -z "$out" ] || printf '%s\n' "$out" | tail -n 20 >&2
    [ "$status" != 124 ] || printf 'no end within %s s\n' "$1" >&2
    return "$status"
}

journal_dir() { # run
    [[ $1 =~ ^[A-Za-z0-9_-][A-Za-z0-9._-]*$ ]] || die "run id '$1' is not a plain name"
    printf '%s/journal/%s' "$root" "$1"
}

# The functions below say `|| return 1` although `set -e` holds: it does not inside what is called before `||` or `if`.

journal_open() { # folder
    mkdir -p "$1/old" "$1/units" "$1/ready" || return 1
    touch "$1/touched" "$1/made" "$1/actions" || return 1
    [ -s "$1/state" ] || echo open > "$1/state"
}

journal_save() { # folder, path: keeps what stands at the path, once; journal_sync makes it last
    local j=$1 p=$2 touched known folder old
    [[ $p == /*/* && $p != */ && $p != *$'\n'* ]] || die "path '$p' is not one that Mainstay manages"
    mapfile -t touched < "$j/touched"
    printf -v known '%s\n' "" "${touched[@]}"
    folder=$p
    while [ -n "$folder" ]; do # a folder that was kept holds what was in it
        [[ $known != *$'\n'"$folder"$'\n'* ]] || return 0
        folder=${folder%/*}
    done
    old=$j/old/$((${#touched[@]} + 1))
    # What an interrupted attempt left here is not what stood there.
    if [ -e "$old" ] || [ -L "$old" ]; then rm -rf -- "$old" || return 1; fi
    if [ -e "$p" ] || [ -L "$p" ]; then cp -aT -- "$p" "$old" || return 1; fi
    remember_made "$j" "$p" || return 1
    printf '%s\n' "$p" >> "$j/touched"
}

remember_made() { # folder, path: the folders above the path that are not there yet
    local folder=${2%/*}
    while [ ! -e "$folder" ]; do
        grep -qxF -- "$folder" "$1/made" || printf '%s\n' "$folder" >> "$1/made" || return 1
        folder=${folder%/*}
    done
}

journal_late() { # folder, path: where nothing stands yet, what will goes last, when nothing runs from it any more
    if [ -e "$2" ] || grep -qsxF -- "$2" "$1/late"; then return 0; fi
    remember_made "$1" "$2" && printf '%s\n' "$2" >> "$1/late"
}

journal_sync() { # folder: what it holds survives a power cut; before the first change that it is for
    find "$1" -type f -exec sync -- {} +
}

unit_word() { # is-enabled or is-active, unit: these answer by exit code too, only the word matters here
    local word
    word=$(systemctl "$1" "$2" 2>/dev/null) || true
    printf '%s' "${word:-none}"
}

journal_unit() { # folder, unit, optional probe
    local j=$1 unit=$2
    [ -e "$j/units/$unit" ] && return 0
    if [ -n "${3:-}" ]; then printf '%s\n' "$3" > "$j/ready/$unit" || return 1; fi
    printf '%s %s\n' "$(unit_word is-enabled "$unit")" "$(unit_word is-active "$unit")" > "$j/units/.new" || return 1
    mv -f -- "$j/units/.new" "$j/units/$unit"
}

journal_action() { # folder, check, activate
    local line
    [ -n "$2$3" ] || return 0
    printf -v line '%s\t%s' "$2" "$3"
    grep -qxF -- "$line" "$1/actions" || printf '%s\n' "$line" >> "$1/actions"
}

beside() { # variable, path, suffix: a name in the same folder, so that a rename is enough; no * takes it up
    printf -v "$1" '%s/.%s.mainstay-%s' "${2%/*}" "${2##*/}" "$3"
}

untouched() { # what stood there, path: whether it still does; a full disk has no room to write it once more
    if [ -d "$1" ] && [ ! -L "$1" ]; then return 1; fi
    [ "$(stat -c '%f %u %g %Y' -- "$1" 2>/dev/null)" = "$(stat -c '%f %u %g %Y' -- "$2" 2>/dev/null)" ] || return 1
    if [ -L "$1" ]; then [ "$(readlink -- "$1")" = "$(readlink -- "$2")" ]; else cmp -s -- "$1" "$2"; fi
}

restore_file() { # what stood there, path
    local was=$1 p=$2 old new
    beside new "$p" new
    rm -f -- "$new"
    # A bare `return` in what a trap calls gives the status from before the trap.
    if [ ! -e "$was" ] && [ ! -L "$was" ]; then rm -rf -- "$p"; return $?; fi
    if untouched "$was" "$p"; then return 0; fi
    mkdir -p -- "${p%/*}" || return 1
    beside old "$p" old
    rm -rf -- "$old" || return 1
    if ! cp -aT -- "$was" "$old" 2>/dev/null; then
        # A full disk has no room for a copy, and still room for a second name.
        rm -rf -- "$old"
        if [ -d "$was" ] && [ ! -L "$was" ]; then return 1; fi
        ln -T -- "$was" "$old" || return 1
    fi
    # Nothing is renamed over a folder, and no folder over a file.
    if [ ! -L "$p" ] && [ -d "$p" ] || [ ! -L "$was" ] && [ -d "$was" ]; then rm -rf -- "$p" || return 1; fi
    mv -fT -- "$old" "$p"
}

remove_made() { # folder: the folders that were not there
    local made
    while IFS= read -r made; do
        rmdir -- "$made" 2>/dev/null || true # somebody else's files are in it now, or it was never made
    done < <(sort -r "$1/made")
}

restore_files() { # folder: newest change first
    local j=$1 p number paths failed=0
    mapfile -t paths < "$j/touched"
    for ((number = ${#paths[@]}; number > 0; number--)); do
        p=${paths[number - 1]}
        restore_file "$j/old/$number" "$p" || { echo "left: $p is not as it was" >&2; failed=1; }
    done
    remove_made "$j"
    return "$failed"
}

run_actions() { # folder: says which one failed, goes on with the rest
    local j=$1 check activate failed=0
    while IFS= read -r check; do
        activate=${check#*$'\t'}; check=${check%%$'\t'*}
        if [ -n "$check" ] && ! run_within 300 "$check"; then
            echo "left: '$check' refuses the old files" >&2; failed=1; continue
        fi
        if [ -n "$activate" ] && ! run_within 300 "$activate"; then
            echo "left: '$activate' failed" >&2; failed=1
        fi
    done < "$j/actions"
    return "$failed"
}

restore_enabled() { # unit, word of before
    local now
    now=$(unit_word is-enabled "$1")
    # What has no file now had links to one a moment ago, so the word alone does not say that nothing is left.
    [ "$now" != "$2" ] || [ "$now" = none ] || return 0
    [ "$now" != masked ] || systemctl unmask --quiet "$1" || return 1
    case $2 in
    enabled) systemctl enable --quiet "$1" ;;
    masked) systemctl mask --quiet "$1" ;;
    # `enabled-runtime`: by a link that a generator makes at each boot (clusters of Debian's PostgreSQL), and no other.
    disabled|enabled-runtime) systemctl disable --quiet "$1" ;;
    # A unit whose file is gone again has only its links left; disabling removes them and grumbles.
    none|not-found) systemctl disable --quiet "$1" 2>/dev/null || true ;;
    esac
}

start_old_units() { # folder: what ran before runs again, and answers, before traffic goes back to it
    local j=$1 unit enabled active failed=0 f
    for f in "$j"/units/*; do
        [ -e "$f" ] || continue
        unit=${f##*/}; read -r enabled active < "$f"
        if [ "$enabled" = enabled ] && ! restore_enabled "$unit" enabled; then
            echo "left: $unit is not enabled" >&2; failed=1
        fi
        if [ "$active" = active ] && ! systemctl is-active --quiet "$unit"; then
            systemctl reset-failed "$unit" 2>/dev/null || true
            systemctl start "$unit" || { echo "left: $unit does not start" >&2; failed=1; }
        fi
    done
    for f in "$j"/ready/*; do
        [ -e "$f" ] || continue
        read -r enabled active < "$j/units/${f##*/}"
        [ "$active" = active ] || continue
        run_within 120 "$(cat "$f")" || { echo "left: ${f##*/} runs but does not answer" >&2; failed=1; }
    done
    return "$failed"
}

stop_new_units() { # folder: what did not run before stops last
    local j=$1 unit enabled active failed=0 f
    for f in "$j"/units/*; do
        [ -e "$f" ] || continue
        unit=${f##*/}; read -r enabled active < "$f"
        case $active in active|activating|reloading) ;; *)
            systemctl stop "$unit" 2>/dev/null || true
            systemctl reset-failed "$unit" 2>/dev/null || true ;;
        esac
        restore_enabled "$unit" "$enabled" || { echo "left: $unit is not $enabled" >&2; failed=1; }
    done
    return "$failed"
}

remove_late() { # folder
    local late
    [ -e "$1/late" ] || return 0
    while IFS= read -r late; do rm -rf -- "$late"; done < "$1/late"
    remove_made "$1"
}

play_back() { # folder: the host as it was; fails when something is left, and says what
    local j=$1 failed=0
    restore_files "$j" || failed=1
    systemctl daemon-reload
    start_old_units "$j" || failed=1
    run_actions "$j" || failed=1
    stop_new_units "$j" || failed=1
    remove_late "$j" || failed=1
    return "$failed"
}
