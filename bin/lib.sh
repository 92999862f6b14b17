# Sourced by the scripts beside it: what they all need, installed once and checked each time.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "bin/${0##*/}"; exit 0 ;; esac
PROJECT=$PWD
# Python keeps what it compiles: Mainstay starts it often. bin/clean takes it away.
export PYTHONDONTWRITEBYTECODE=
# What the lab needs of Debian: nothing here starts a service on this machine.
LAB_PACKAGES="systemd-container mmdebstrap nftables iproute2 openssh-client ca-certificates"

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { printf 'mainstay: %s\n' "$*" >&2; exit 2; }

need_root() {
    [ "$(uname -s)" = Linux ] || fail "found $(uname -s), expected Linux: the lab boots Debian hosts with systemd-nspawn. \
bin/check, and mainstay check, render and secrets work without it."
    [ "$(id -u)" = 0 ] || fail "found user $(id -un), expected root: the lab makes network bridges and mounts. \
bin/check, and mainstay check, render and secrets work without it."
}

packages() { # names: installs those that are missing
    missing=
    for name in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing="$missing $name"
    done
    [ -n "$missing" ] || return 0
    say "packages:$missing"
    find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -720 2>/dev/null | grep -q . \
        || apt-get -qq update || return
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing >/dev/null || return
    mkdir -p artefacts
    for name in $missing; do echo "$name"; done >> artefacts/debian-packages
}

tools() { # promtool and amtool, which judge rules and routes, and nginx; unpacked, because Debian starts what it installs
    mkdir -p artefacts/tools
    for pair in prometheus:bin/promtool prometheus-alertmanager:bin/amtool nginx:sbin/nginx; do
        name=${pair%:*} path=${pair#*:} program=${pair##*/}
        [ ! -x "artefacts/tools/$program" ] || continue
        command -v "$program" >/dev/null && continue
        say "$program"
        command -v apt-get >/dev/null || fail "no $program, expected it in PATH: tests judge what is rendered by it."
        (cd artefacts/tools && apt-get -qq download "$name" 2>/dev/null) \
            || { apt-get -qq update && (cd artefacts/tools && apt-get -qq download "$name"); } || return
        dpkg-deb --fsys-tarfile artefacts/tools/"$name"_*.deb | tar -x -C artefacts/tools --strip-components=3 "./usr/$path" || return
        rm -f artefacts/tools/"$name"_*.deb
    done
}

environment() { # .venv with the locked versions, and this tree in it
    python=$(command -v python3.11 || command -v python3) || fail "no python3, expected Python 3.11 or later"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than Python 3.11"
    stamp=.venv/.locked-$(cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
    if [ ! -e "$stamp" ]; then
        # Each with its own `|| return`: where this is called in a condition, the shell ignores `set -e`.
        "$python" -c 'import ensurepip, venv' 2>/dev/null || packages python3-venv || return
        say "Python packages, exact versions, by hash"
        [ -x .venv/bin/python ] || "$python" -m venv .venv || return
        pip="$PROJECT/.venv/bin/pip --disable-pip-version-check -q"
        $pip install --require-hashes -r requirements.lock || return
        $pip install --no-deps --no-build-isolation -e . || return
        rm -f .venv/.locked-*
        touch "$stamp"
    fi
    PATH=$PROJECT/.venv/bin:$PATH
    export PATH
}
