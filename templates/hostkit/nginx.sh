# Shared by host scripts that make nginx take a configuration up; source it after common.sh.

nginx_workers() { pgrep -P "$(cat /run/nginx.pid)" | sort || true; }

# `systemctl reload nginx` returns before anything happened: this returns when new workers answer, or dies and says why.
# Leaves the workers that were there before in `old_workers`.
nginx_reload() {
    local new=
    old_workers=
    if ! systemctl is-active --quiet nginx; then systemctl start nginx; return $?; fi
    old_workers=$(nginx_workers)
    systemctl reload nginx
    for _ in $(seq 100); do
        new=$(comm -13 <(printf '%s\n' "$old_workers") <(nginx_workers))
        [ -z "$new" ] || return 0
        sleep 0.1
    done
    die "nginx does not take its configuration up: $(tail -n 1 /var/log/nginx/error.log)"
}

# Old workers end when the requests that they hold are answered: waits for that, at most so many seconds.
nginx_drain() { # seconds
    local deadline=$((SECONDS + $1))
    while [ -n "$(comm -12 <(printf '%s\n' "$old_workers") <(nginx_workers))" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 0
        sleep 0.1
    done
}
