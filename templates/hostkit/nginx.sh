# Shared by host scripts that make nginx take a configuration up; source it after common.sh.
nginx_log=/var/log/nginx/error.log

nginx_workers() { pgrep -P "$(cat /run/nginx.pid)" | sort || true; }

# `systemctl reload nginx` returns before anything happened: this returns when new workers answer, or dies and says why.
# Leaves the workers that were there before in `old_workers`.
nginx_reload() {
    local new='' seen
    old_workers=
    if ! systemctl is-active --quiet nginx; then systemctl start nginx; return $?; fi
    old_workers=$(nginx_workers)
    seen=$(wc -c < "$nginx_log")
    systemctl reload nginx
    for _ in $(seq 100); do
        new=$(comm -13 <(printf '%s\n' "$old_workers") <(nginx_workers))
        [ -z "$new" ] || return 0
        sleep 0.1
    done
    if nginx_stands_in_its_own_way "$seen"; then systemctl restart nginx; return $?; fi
    die "nginx does not take its configuration up: $(tail -n 1 "$nginx_log")"
}

# A reload cannot turn 0.0.0.0:80 into 127.0.0.1:80, for it opens the new socket beside the old one. A restart can, and
# closes every connection; where another program holds the port it would only take nginx down.
nginx_stands_in_its_own_way() { # size of the log before the reload
    local ports port
    ports=$(tail -c "+$(($1 + 1))" "$nginx_log" | sed -n 's/.* bind() to .*:\([0-9]*\) failed.*/\1/p' | sort -u)
    for port in $ports; do
        if ss -Hltnp "sport = :$port" | grep -qv '"nginx"'; then return 1; fi
    done
    [ -n "$ports" ]
}

# Old workers end when the requests that they hold are answered: waits for that, at most so many seconds.
nginx_drain() { # seconds
    local deadline=$((SECONDS + $1))
    while [ -n "$(comm -12 <(printf '%s\n' "$old_workers") <(nginx_workers))" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 0
        sleep 0.1
    done
}
