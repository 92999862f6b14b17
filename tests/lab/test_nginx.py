"""nginx and the frontend on a real web host: every check seen to fail, maintenance, limits, releases of the site."""

from __future__ import annotations

import re

import pytest

from tests.lab import releases
from tests.lab.bench import ROOT
from tests.lab.laptop import Laptop
from tests.lab.releases import API, APP, CACHE, DB, NAME, WEB, Stage

CONF, SNIPPETS = "/etc/nginx/conf.d", "/etc/nginx/snippets"
SITES = f"{CONF}/50-everydayai-*.conf"
SITE = f"{CONF}/50-everydayai-site.conf"
BASE = "/srv/everydayai/frontend"
FLAG = "/etc/nginx/maintenance.on"
HEADERS = ("Strict-Transport-Security", "X-Frame-Options", "X-Content-Type-Options")


@pytest.fixture(scope="module")
def stage(bare: Laptop) -> Stage:
    stage = releases.of(bare)
    stage.converge(DB, CACHE, APP, WEB)
    return stage


def test_one_apply_from_a_bare_host_converges_and_passes_every_check(stage: Stage) -> None:
    assert stage.failing("nginx", WEB) == set()
    assert stage.failing("frontend", WEB) == set()
    assert stage.failing("release", WEB) == set()


BOOT, VALID = "runs and starts at boot", "configuration on disk is valid"
PORTS, STATUS = "listens on exactly the declared ports", "status is on loopback only"
KEEPS = "configuration in use keeps connections and pushes nothing"
UPSTREAMS, REACHES = "upstreams name every host of the service", "reaches every app host itself"
ANSWERS, ON_ALL = "services answer through their sites", "security headers on every kind of answer"
SAFE = "what is not safe is sent to one server"
LEADS = "each prefix leads to the service that it names"
METRICS, VERSION = "metrics are not public", "says nothing of its version"
TO_HTTPS, HTTP_2 = "http leads to https except for challenges", "speaks http 2"
LIMITS, MESSAGES = "each site has the limit that is declared and no other", "pages for maintenance and faults are there"
REFUSES, CERTIFICATE = "refuses old tls and unknown names", "certificate covers the sites and its key is root s"
# What hands do to nginx, and the checks that must say so; a round breaks much at once.
ROUNDS = [
    {
        "systemctl disable --quiet nginx": {BOOT},
        f"sed -i '/X-Frame-Options/d' {SNIPPETS}/security-headers.conf": {ON_ALL},
        f"sed -i '/location .*metrics/,+2d' {SITES}": {METRICS},
        "sed -i 's/server_tokens off/server_tokens on/' /etc/nginx/nginx.conf": {VERSION},
        "chmod 644 /etc/ssl/everydayai/live/privkey.pem": {CERTIFICATE},
        f"sed -i 's/127.0.0.1:8090/0.0.0.0:8090/' {CONF}/00-status.conf": {STATUS},
        f"sed -i 's/ ssl http2/ ssl/' {SITES}": {HTTP_2},
        f"sed -i '/acme-challenge/,+3d' {SITES}": {TO_HTTPS},
        f"rm {CONF}/10-default.conf": {REFUSES},
        f"echo 'server {{ listen 81; }}' > {CONF}/99-stray.conf": {PORTS},
        f"sed -i '/keepalive 32/d' {CONF}/20-upstreams.conf": {KEEPS},
        f"sed -i 's/proxy_next_upstream off;//' {SNIPPETS}/proxy-once.conf": {SAFE},
        f"sed -i 's/max_fails=3/weight=2 max_fails=3/' {CONF}/20-upstreams.conf": {UPSTREAMS},
        "systemctl restart nginx": set(),
    },
    {
        f"sed -i 's/server .*:8000/server 127.0.0.9:8000/' {CONF}/20-upstreams.conf": {
            UPSTREAMS,
            ANSWERS,
            LEADS,
        },
        f"sed -i 's/http_502 http_503/http_502 http_503 non_idempotent/' {SNIPPETS}/proxy.conf": {SAFE},
        f"echo 'limit_req_zone $binary_remote_addr zone=stray:1m rate=1r/s;' > {CONF}/98-stray.conf": {LIMITS},
        f"sed -i 's#root /var/www/acme#root /var/www/html#' {SITES}": {TO_HTTPS},
        "sed -i 's/Back soon/Gone/' /usr/local/share/mainstay/pages/maintenance.html": {MESSAGES},
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=x -addext "
        f"subjectAltName=DNS:{NAME},DNS:{API} -keyout /etc/ssl/everydayai/live/privkey.pem "
        "-out /etc/ssl/everydayai/live/fullchain.pem 2>/dev/null": {CERTIFICATE},
        "systemctl restart nginx": set(),
    },
    {
        f"sed -i 's/|PATCH/|PATCH|PUT|DELETE/' {SITE}": {SAFE},
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=x -addext "
        "subjectAltName=DNS:elsewhere.test -keyout /etc/ssl/everydayai/live/privkey.pem "
        "-out /etc/ssl/everydayai/live/fullchain.pem 2>/dev/null": {CERTIFICATE},
        "systemctl reload nginx": set(),
    },
    {f"echo nonsense > {CONF}/99-nonsense.conf": {VALID, KEEPS, SAFE, UPSTREAMS, LIMITS, TO_HTTPS}},
]


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_every_break_is_seen_by_its_check_and_brought_back_by_one_apply(stage: Stage, number: int) -> None:
    breaks = ROUNDS[number]
    with stage.broken(WEB, "\n".join(["set -e", *breaks])):
        assert stage.failing("nginx", WEB) == set().union(*breaks.values())
    assert stage.failing("nginx", WEB) == set()


@pytest.mark.covers("NX-04")
def test_an_app_host_that_is_gone_is_seen_and_its_5xx_has_every_header(stage: Stage) -> None:
    stage.sh(APP, "systemctl stop nginx")
    try:
        assert stage.failing("nginx", WEB) == {REACHES, ANSWERS}
        answer = stage.curl(f"https://{API}/health")
        assert answer.split()[1] == "502"
        assert all(f"\n{name}: " in answer for name in HEADERS), answer
        # It was the only one: nobody is left to ask, and nginx goes on with all that needs none.
        assert stage.sh(WEB, "systemctl is-active nginx").strip() == "active"
        assert '{"detail": "unavailable"}' in answer
        assert stage.status(f"https://{NAME}/") == 200
        reason = stage.failures("nginx", WEB)[REACHES]
        assert re.search(r"http://[0-9.]+:8000/health answers 000: ", reason), reason
        stage.converge(WEB)
    finally:
        stage.sh(APP, "systemctl start nginx")
    stage.sh(WEB, "sleep 5")  # nginx asks it again after fail_timeout
    assert stage.failing("nginx", WEB) == set()


FRONTEND_BREAKS = {
    f'sed -i \'s/Build [^<]*/Build x/; s/name="build" content="[^"]*"//\' {BASE}/current/dist/index.html': {
        "serves the pinned build"
    },
    f"sed -i 's|https://{API}/api|%VITE_API_BASE_URL%|' {BASE}/current/dist/index.html": {
        "index names this environment s api"
    },
    f"sed -i 's/no-cache/max-age=60/' {SITE}": {"index is asked for anew and assets never"},
    f"sed -i 's/try_files $uri =404/try_files $uri \\/index.html/' {SITE}": {"a missing asset is not the index"},
    "systemctl reload nginx; sleep 1": set(),
}


@pytest.mark.covers("DF-60", "FE-06")
def test_a_new_site_keeps_the_old_assets_and_the_old_site_comes_back(stage: Stage) -> None:
    stage.sh(WEB, f"echo 'old()' > {BASE}/releases/1.0.0/dist/assets/old.0a1b2c3d.js")
    stage.pin("frontend", "1.1.0")
    stage.converge(WEB)
    assert "Build 1.1.0-" in stage.curl(f"https://{NAME}/")
    assert stage.status(f"https://{NAME}/assets/old.0a1b2c3d.js") == 200
    stage.sh(WEB, f"mv {BASE}/assets /root/kept; mkdir {BASE}/assets")
    assert "assets of the release before are still served" in stage.failing("frontend", WEB)
    stage.sh(WEB, f"rmdir {BASE}/assets; mv /root/kept {BASE}/assets")
    stage.pin("frontend", "1.0.0")
    stage.converge(WEB)
    assert "Build 1.0.0-" in stage.curl(f"https://{NAME}/")
    assert stage.failing("frontend", WEB) == set()


def test_every_break_of_the_site_is_seen(stage: Stage) -> None:
    index = f"{BASE}/current/dist/index.html"
    keep = f"cp -a {index} /root/index; {'; '.join(FRONTEND_BREAKS)}"
    with stage.broken(WEB, keep, f"mv /root/index {index}"):
        assert stage.failing("frontend", WEB) == set().union(*FRONTEND_BREAKS.values())
    assert stage.failing("frontend", WEB) == set()


def test_assets_that_no_release_names_go_after_their_days(stage: Stage) -> None:
    for name, days in (("gone.00000001.js", 8), ("kept.00000002.js", 6)):
        stage.sh(WEB, f"touch -d '{days} days ago' {BASE}/assets/{name}")
    stage.pin("frontend", "1.2.0")
    stage.converge(WEB)
    left = stage.sh(WEB, f"ls {BASE}/assets")
    assert "gone.00000001.js" not in left
    assert "kept.00000002.js" in left
    stage.pin("frontend", "1.0.0")
    stage.converge(WEB)


@pytest.mark.covers("NX-05", "DF-73", "NX-04")
def test_maintenance_is_a_file_and_spares_challenges(stage: Stage) -> None:
    probe = "/var/www/acme/.well-known/acme-challenge"
    stage.sh(WEB, f"mkdir -p {probe}; chmod -R a+rX /var/www/acme; echo token > {probe}/probe")
    challenge = f"http://{NAME}/.well-known/acme-challenge/probe"
    assert stage.status(challenge) == 200
    stage.sh(WEB, f"touch {FLAG}")
    try:
        for name, options in ((NAME, ""), (API, ""), (API, "-X POST")):
            answer = stage.curl(f"https://{name}/api/items", options)
            assert answer.split()[1] == "503"
            assert re.search(r"\nRetry-After: 600\r?\n", answer)
            assert all(f"\n{name}: " in answer for name in HEADERS), answer
        assert "Back soon" in stage.curl(f"https://{NAME}/")
        assert '{"detail": "maintenance"}' in stage.curl(f"https://{API}/")
        assert stage.status(challenge) == 200
    finally:
        stage.sh(WEB, f"rm -r {FLAG} /var/www/acme/.well-known")
    assert stage.status(f"https://{NAME}/") == 200


@pytest.mark.covers("NX-07")
def test_rate_limit_answers_429_only_while_it_is_on(stage: Stage) -> None:
    burst = (
        f"for i in $(seq 60); do echo https://{API}/version; done | "
        f"xargs -P 20 -n 20 curl -sk --resolve {API}:443:127.0.0.1 -w '%{{http_code}}\\n' | grep -c 429 || true"
    )
    assert int(stage.sh(WEB, burst)) == 0
    off, on = "{enabled: false, requests_per_s: 50, burst: 100}", "{enabled: true, requests_per_s: 2, burst: 3}"
    stage.edit("system.yaml", off, on)
    try:
        stage.converge(WEB)
        assert int(stage.sh(WEB, burst)) > 0
        stage.sh(WEB, "sleep 3")
        assert [stage.status(f"https://{API}/version") for _ in range(3)] == [200, 200, 200]
        assert stage.failing("nginx", WEB) == set()
        with_own = f"proxy: {{/api: backend}}, rate_limit: {off}"
        stage.edit("system.yaml", "proxy: {/api: backend}", with_own)
        stage.converge(WEB)
        assert int(stage.sh(WEB, burst.replace(f"https://{API}/", f"https://{NAME}/api/").replace(API, NAME))) == 0
        assert int(stage.sh(WEB, burst)) > 0, "the other site keeps the limit"
        stage.sh(WEB, "sleep 3")
        assert stage.failing("nginx", WEB) == set()
        stage.edit("system.yaml", with_own, "proxy: {/api: backend}")
    finally:
        stage.edit("system.yaml", on, off)
        stage.converge(WEB)
    assert int(stage.sh(WEB, burst)) == 0


@pytest.mark.covers("EV-15")
def test_uploads_end_at_the_inventory_s_limit(stage: Stage) -> None:
    limit = 10 * 1024 * 1024
    stage.sh(WEB, f"head -c {limit + 1} /dev/zero > /tmp/above; head -c {limit - 1} /dev/zero > /tmp/below")
    send = "-H 'Expect:' -X POST --data-binary @/tmp"
    assert stage.status(f"https://{API}/version", f"{send}/above") == 413
    assert stage.status(f"https://{API}/version", f"{send}/below") == 405
    stage.sh(WEB, "rm /tmp/above /tmp/below")


def test_a_configuration_that_does_not_parse_changes_nothing(stage: Stage) -> None:
    own = stage.project / "templates" / "nginx" / "proxy.conf.j2"
    own.parent.mkdir(parents=True)
    own.write_text((ROOT / "templates" / "nginx" / own.name).read_text() + "proxy_nonsense on;\n")
    looks = f"sha256sum {CONF}/* {SNIPPETS}/* /etc/nginx/nginx.conf; systemctl show -P MainPID nginx"
    before = stage.sh(WEB, looks)
    try:
        outcome = stage.apply(WEB)
        assert not outcome["ok"]
        assert "proxy_nonsense" in outcome["reason"]
        assert stage.sh(WEB, looks) == before
        assert stage.status(f"https://{API}/health") == 200
    finally:
        own.unlink()
    stage.converge(WEB)
