# Shared by host scripts that must end what they began although the laptop goes away; source it after common.sh.
#
# Output goes to files first: writing to a connection that is gone would stop a script half-way. This makes `stage`, a
# folder that only root reads; `on_failure` is called when the script ends with an error, `on_exit` always.
ignore_signals
lock 300 || die "another change of this host takes longer than 300 s; nothing was changed"
rm -rf -- "$root"/stage.* # of a step that was killed; the lock says that nobody uses it
stage=$(mktemp -d "$root/stage.XXXXXX") || die "cannot write to $root; nothing was changed"
exec 3>&1 4>&2 > "$stage/.out" 2> "$stage/.err"

point() { # link, target: in one rename
    local new
    beside new "$1" new
    (umask 022; mkdir -p -- "${1%/*}")
    ln -sfn -- "$2" "$new"
    mv -fT -- "$new" "$1"
}
place() { # file, mode, group, path: root's, in one rename
    local new
    beside new "$4" new
    (umask 022; mkdir -p -- "${4%/*}")
    install -m "$2" -o root -g "$3" -- "$1" "$new"
    sync -- "$new"
    mv -fT -- "$new" "$4"
}

on_failure() { :; }
on_exit() { :; }
ended() {
    local status=$?
    trap - EXIT ERR
    set +e
    if [ "$status" != 0 ]; then on_failure; fi
    on_exit
    cat -- "$stage/.out" >&3 2>/dev/null
    cat -- "$stage/.err" >&4 2>/dev/null
    rm -rf -- "$stage"
    exit "$status"
}
trap ended EXIT
trap 'echo "mainstay: line $LINENO of ${0##*/} failed" >&2' ERR
