# Shared by Mainstay's host scripts: the journal, and how it is played back.
#
# A journal is a folder: `touched` (paths in the order of their first change), `tree/` (what stood there before, with
# owner and mode; nothing where nothing stood), `units/` (enabled and active, before), `ready/` (a probe a unit must pass
# after it was started again), `actions` (check<TAB>activate, what makes the files count), `state`.
set -euo pipefail
umask 077
root=/var/lib/mainstay

die() { printf 'mainstay: %s\n' "$*" >&2; exit 1; }

journal_dir() { # run
    [[ $1 =~ ^[A-Za-z0-9._-]+$ ]] || die "run id '$1' is not a plain name"
    printf '%s/journal/%s' "$root" "$1"
}

journal_open() { # folder
    mkdir -p "$1/tree" "$1/units" "$1/ready"
    [ -e "$1/state" ] || echo open > "$1/state"
    touch "$1/touched" "$1/actions"
}

journal_save() { # folder, path: keeps what stands at the path, once
    local j=$1 p=$2
    [[ $p == /*/* ]] || die "path '$p' is not one that Mainstay manages"
    if grep -qxF -- "$p" "$j/touched"; then return 0; fi
    if [ -e "$p" ] || [ -L "$p" ]; then
        mkdir -p "$j/tree${p%/*}"
        cp -a -- "$p" "$j/tree$p"
        [ -L "$p" ] || sync -- "$j/tree$p"
    fi
    printf '%s\n' "$p" >> "$j/touched"
    sync -- "$j/touched"
}

journal_unit() { # folder, unit, optional probe
    local j=$1 unit=$2
    [ -e "$j/units/$unit" ] && return 0
    # `is-enabled` and `is-active` answer by exit code too; only the word matters here.
    printf '%s %s\n' "$(systemctl is-enabled "$unit" 2>/dev/null || true)" \
        "$(systemctl is-active "$unit" 2>/dev/null || true)" > "$j/units/$unit.new"
    if [ -n "${3:-}" ]; then printf '%s\n' "$3" > "$j/ready/$unit"; fi
    mv -f "$j/units/$unit.new" "$j/units/$unit"
}

journal_action() { # folder, check, activate
    local line
    printf -v line '%s\t%s' "$2" "$3"
    grep -qxF -- "$line" "$1/actions" || printf '%s\n' "$line" >> "$1/actions"
}

restore_files() { # folder: newest change first
    local j=$1 p beside
    tac "$j/touched" | while IFS= read -r p; do
        if [ -e "$j/tree$p" ] || [ -L "$j/tree$p" ]; then
            mkdir -p "${p%/*}"
            beside="${p%/*}/.${p##*/}.mainstay-old"
            rm -rf -- "$beside"
            cp -a -- "$j/tree$p" "$beside"
            # A folder cannot be renamed over; it only was one where a folder is managed.
            if [ -d "$p" ] && [ ! -L "$p" ]; then rm -rf -- "$p"; fi
            mv -fT -- "$beside" "$p"
        else
            rm -rf -- "$p"
        fi
    done
}

run_actions() { # folder: says which one failed, goes on with the rest
    local j=$1 check activate failed=0
    while IFS=$'\t' read -r check activate; do
        if [ -n "$check" ] && ! bash -c "$check" </dev/null; then
            echo "left: '$check' refuses the old files" >&2; failed=1; continue
        fi
        if [ -n "$activate" ] && ! bash -c "$activate" </dev/null; then
            echo "left: '$activate' failed" >&2; failed=1
        fi
    done < "$j/actions"
    return "$failed"
}

start_old_units() { # folder: what ran before runs again, and answers, before traffic goes back to it
    local j=$1 unit enabled active failed=0 f
    for f in "$j"/units/*; do
        [ -e "$f" ] || continue
        unit=${f##*/}; read -r enabled active < "$f"
        case $enabled in enabled) systemctl enable --quiet "$unit" || failed=1 ;; esac
        if [ "$active" = active ] && ! systemctl is-active --quiet "$unit"; then
            systemctl start "$unit" || { echo "left: $unit does not start" >&2; failed=1; }
        fi
    done
    for f in "$j"/ready/*; do
        [ -e "$f" ] || continue
        read -r enabled active < "$j/units/${f##*/}"
        [ "$active" = active ] || continue
        bash "$f" </dev/null || { echo "left: ${f##*/} runs but does not answer" >&2; failed=1; }
    done
    return "$failed"
}

stop_new_units() { # folder: what did not run before stops last
    local j=$1 unit enabled active f
    for f in "$j"/units/*; do
        [ -e "$f" ] || continue
        unit=${f##*/}; read -r enabled active < "$f"
        case $active in active|activating|reloading) ;; *)
            systemctl stop "$unit" 2>/dev/null || true
            systemctl reset-failed "$unit" 2>/dev/null || true ;;
        esac
        case $enabled in disabled|"") systemctl disable --quiet "$unit" 2>/dev/null || true ;; esac
    done
}

play_back() { # folder: the host as it was; fails when something is left, and says what
    local j=$1 failed=0
    restore_files "$j" || failed=1
    systemctl daemon-reload
    start_old_units "$j" || failed=1
    run_actions "$j" || failed=1
    stop_new_units "$j"
    return "$failed"
}
