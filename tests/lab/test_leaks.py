"""A planted value in every secret of staging: rolled out from bare, changed, failed and put back, then looked for."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.laptop import ROOT, SYSTEM, Done, Laptop

STAGING = f"{SYSTEM}/staging"
APP, CACHE, WEB, DB, MON = "eai-stg-app-1", "eai-stg-cache-1", "eai-stg-web-1", "eai-stg-db-1", "eai-stg-mon-1"
HOSTS = (WEB, APP, DB, CACHE, MON)
MARK = "Pl4ntedS3cretValu3"
# Where a value belongs, by host (docs/secrets.md). Journals keep copies of these files, and of no other.
HOLDERS = {
    APP: {"/etc/everydayai/backend.env"},
    CACHE: {
        "/etc/mainstay/redis.password",
        "/var/lib/mainstay/redis/password",
        "/etc/default/prometheus-redis-exporter",
    },
    MON: {"/etc/prometheus/alertmanager.yml"},
}
# What Alertmanager takes no other value for; the exporter there takes what it is told (inventories).
URL = "http://127.0.0.1:9115/-/healthy?"
JOURNALS = "/var/lib/mainstay/journal/"


def forms() -> list[str]:
    """The mark as it stands, in hexadecimal, and inside the base64 of a longer text wherever it begins there."""
    found = [MARK, MARK.encode().hex()]
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(MARK)) * 8 // 6
        found.append(base64.b64encode(bytes(before) + MARK.encode()).decode()[first:last])
    return found


class Watched:
    """A laptop whose every command is remembered, while a sampler looks at all processes."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop
        self.done: dict[str, Done] = {}
        self.sampled: list[str] = []

    def mainstay(self, *words: str, code: int = 0) -> Done:
        return self._keep(" ".join(words), self.laptop.mainstay(*words), code)

    def pyinfra(self, *words: str) -> Done:
        files = (f"inventories/{SYSTEM}/staging.py", str(ROOT / "deploys/site.py"))
        done = self.laptop.run(sys.executable, "-m", "pyinfra", *words, *files)
        return self._keep(f"pyinfra {' '.join(words)}", done, 0)

    def _keep(self, name: str, done: Done, code: int) -> Done:
        self.done[f"{len(self.done)} {name}"] = done
        assert done.code == code, f"{name}: {redacted(done.text)}"
        return done


def redacted(text: str) -> str:
    """A failing test shows no value either."""
    return text.replace(MARK, "<planted>")


def plant(laptop: Laptop, turn: str) -> None:
    """A new recognisable value for every secret of staging."""
    for row in laptop.mainstay("secrets", "list", STAGING, "--json").json["secrets"]:
        begins = URL if row["name"].endswith("_URL") else ""
        value = f"{begins}{MARK}-{turn}-{row['name'].replace('_', '-')}-{'x' * 16}"
        done = laptop.mainstay("secrets", "set", STAGING, row["name"], stdin=value)
        assert done.code == 0 and MARK not in done.text, redacted(done.text)


@pytest.fixture(scope="module")
def watched(bare: Laptop) -> Iterator[Watched]:
    """All commands have run: on bare hosts, on converged ones, with changed secrets, and in a rollout that fails."""
    bare.variables["MAINSTAY_DEBUG"] = "1"
    watched = Watched(bare)
    (bare.folder / "began").touch()
    plant(bare, "one")
    sampler = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.sampler"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert sampler.stdin is not None
    sampler.stdin.write("\n".join(forms()))
    sampler.stdin.close()
    sampler.stdin = None
    try:
        run_everything(watched)
    finally:
        sampler.terminate()
        out, _ = sampler.communicate(timeout=20)
        watched.sampled = out.splitlines()
    yield watched


def run_everything(watched: Watched) -> None:
    """Every command that meets secrets; plain pyinfra and Mainstay each bring changed ones to the hosts."""
    watched.mainstay("check", SYSTEM, "--json")
    for words in (["render", STAGING], ["plan", STAGING], ["plan", STAGING, "--json"]):
        watched.mainstay(*words)
    watched.mainstay("rollout", SYSTEM, "--env", "staging")
    watched.mainstay("verify", STAGING, "-v")
    plant(watched.laptop, "two")
    watched.mainstay("plan", STAGING)
    fail(watched)
    watched.pyinfra("-vvv", "--diff", "--dry", "-y")
    watched.pyinfra("-vvv", "--diff", "-y")
    watched.mainstay("status", STAGING, code=1)  # which says that plain pyinfra was here
    plant(watched.laptop, "three")
    watched.mainstay("apply", STAGING, "--json")
    for words in (["status", STAGING, "--json"], ["history", STAGING], ["history", SYSTEM, "--json"]):
        watched.mainstay(*words)


def fail(watched: Watched) -> None:
    """A rollout of the changed secrets that nginx refuses on the web host: all hosts are put back."""
    own = watched.laptop.project / "templates" / "nginx" / "nginx.conf.j2"
    own.parent.mkdir(parents=True)
    own.write_text((ROOT / "templates" / "nginx" / "nginx.conf.j2").read_text() + "no_such_directive on;\n")
    done = watched.mainstay("rollout", SYSTEM, "--env", "staging", "--json", code=1)
    assert done.json["environments"][0]["result"] == "put back", redacted(done.text)
    own.unlink()


def holding(host: str, laptop: Laptop) -> set[str]:
    """Every file of the host that holds a planted value, in any form."""
    patterns = "\\n".join(forms())
    script = (
        f"printf '{patterns}' | grep -rlaFf - --exclude-dir=proc --exclude-dir=sys --exclude-dir=run / 2>/dev/null; "
        f"printf '{patterns}' | grep -rlaFf - /run --exclude-dir=journal 2>/dev/null; true"
    )
    return set(laptop.sh(host, script).split())


def test_no_output_shows_a_value(watched: Watched) -> None:
    shown = [name for name, done in watched.done.items() if any(form in done.text for form in forms())]
    assert shown == []
    assert any("<secret" in done.text for done in watched.done.values()), "placeholders stand where values would"


def test_no_argument_and_no_foreign_environment_shows_a_value(watched: Watched) -> None:
    user = watched.laptop.sh(APP, "id -u everydayai").strip()
    assert f"environ {user}" in {line.rpartition(" ")[0] for line in watched.sampled}, "the sampler sees the service"
    exporter = watched.laptop.sh(CACHE, "id -u prometheus").strip()  # which asks Redis with a password of its own
    # 0: systemd's own, on its way to become the service.
    allowed = {"environ 0", f"environ {user}", f"environ {exporter}"}
    assert [line for line in watched.sampled if line.rpartition(" ")[0] not in allowed] == []


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_hold_values_where_they_belong_and_nowhere_else(watched: Watched, host: str) -> None:
    own = HOLDERS.get(host, set())
    found = holding(host, watched.laptop)
    assert own <= found, "the search finds what is there"
    elsewhere = {path for path in found - own if copied_from(path, host, watched.laptop) not in own}
    assert elsewhere == set()
    modes = watched.laptop.sh(host, f"stat -c %a {JOURNALS}")
    assert modes.strip() == "700", "journals are root's alone"


def copied_from(path: str, host: str, laptop: Laptop) -> str:
    """The file that a journal keeps as `old/<n>`: line n of its `touched`; nothing for any other path."""
    folder, old, number = path.rpartition("/old/")
    if not path.startswith(JOURNALS) or not old or not number.isdecimal():
        return ""
    return laptop.sh(host, f"sed -n {number}p {folder}/touched").strip()


@pytest.mark.parametrize("host", HOSTS)
def test_host_logs_and_ledger_show_no_value(watched: Watched, host: str) -> None:
    patterns = "\\n".join(forms())
    script = f"journalctl --no-pager -a -o export | (printf '{patterns}' > /run/p; grep -caFf /run/p; rm /run/p)"
    assert watched.laptop.sh(host, f"{script}; true").strip() == "0"


def test_the_laptop_keeps_no_value(watched: Watched) -> None:
    laptop = watched.laptop
    assert (laptop.folder / "state" / "mainstay").is_dir(), "there is a memory to search"
    places = [laptop.folder, *Path.home().glob(".*history"), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]
    began = (laptop.folder / "began").stat().st_mtime
    found = [path for place in places for path in files_since(place, began) if holds(path)]
    assert [path for path in found if "tests/lab" not in str(path)] == []


def files_since(place: Path, began: float) -> Iterator[Path]:
    # By os.walk, which goes on where a folder of somebody else's has gone while it looked; `rglob` does not.
    below = (Path(folder, name) for folder, _, names in os.walk(place) for name in names)
    for path in [place] if place.is_file() else below:
        try:
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= began:
                yield path
        except OSError:
            continue  # somebody else's, gone while we looked


def holds(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return any(form.encode() in data for form in forms())
