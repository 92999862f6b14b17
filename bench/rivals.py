"""Ansible, plain and with mitogen, in a virtual environment of the bench's own: what it is told, and what it says."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import hosts
from bench.errors import BenchError
from bench.ground import HOME, Ground

VENV = HOME / "venv"
LOCK = Path(__file__).parent / "requirements.lock"
PLAYBOOK = Path(__file__).parent / "ansible" / "site.yml"
_NOTE = "accustomed"
# ansible-playbook's last lines: what each host did.
_RECAP = re.compile(r"^\S+ +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


def installed() -> bool:
    """Whether the locked versions stand in the bench's own environment."""
    return (VENV / "locked").exists() and (VENV / "locked").read_text() == LOCK.read_text()


def install() -> None:
    """Makes the environment, by the lock's hashes.

    Raises:
        BenchError: pip could not.
    """
    if installed():
        return
    pip = str(VENV / "bin" / "pip")
    for words in (
        [sys.executable, "-m", "venv", str(VENV)],
        [pip, "-q", "install", "--require-hashes", "-r", str(LOCK)],
    ):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise BenchError(f"{' '.join(words[:3])} ended with {done.returncode}: {last}")
    (VENV / "locked").write_text(LOCK.read_text())


def write_inventory(ground: Ground) -> None:
    """Everything that the playbook is told of the ground's hosts: they get what Mainstay would give them.

    Raises:
        BenchError: it could not be written.
    """
    folder = told(ground)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = [sys.executable, "-m", "bench.drivers.rendered", str(folder), ",".join(ground.names)]
    done = subprocess.run(
        words, env=ground.variables, cwd=ground.project, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise BenchError((done.stderr.strip() or "Ansible's inventory could not be written").splitlines()[-1])


def told(ground: Ground) -> Path:
    """The folder with Ansible's inventory and files for a ground; secrets are in it, so it is root's alone."""
    return ground.project / "ansible"


def command(ground: Ground, names: Sequence[str], *options: str) -> list[str]:
    """ansible-playbook on these hosts, all at once."""
    inventory = str(told(ground) / "inventory.json")
    words = [str(VENV / "bin" / "ansible-playbook"), "-i", inventory, "--forks", str(len(names))]
    return [*words, "--limit", ",".join(names), *options, str(PLAYBOOK)]


def unaccustomed(ground: Ground, names: Sequence[str]) -> list[str]:
    """The hosts on which the playbook's first part, as it is now, has not run."""
    version, folders = _version(), hosts.folders(ground)
    notes = {name: folders[name] / _NOTE for name in names}
    return [name for name, note in notes.items() if not note.exists() or note.read_text() != version]


def note_accustomed(ground: Ground, names: Sequence[str]) -> None:
    """Writes it down, beside each host's disk, so that it goes with the host."""
    version, folders = _version(), hosts.folders(ground)
    for name in names:
        (folders[name] / _NOTE).write_text(version)


def _version() -> str:
    """A digest of the playbook and of the Ansible that runs it."""
    files = [LOCK, *sorted(path for path in PLAYBOOK.parent.rglob("*") if path.is_file())]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def variables(*, mitogen: bool) -> dict[str, str]:
    """The surroundings that it needs beside a ground's own; mitogen is a strategy of its own."""
    found = {
        "ANSIBLE_CONFIG": str(PLAYBOOK.parent / "ansible.cfg"),
        "ANSIBLE_HOME": str(HOME / "ansible-home"),
        "ANSIBLE_NOCOLOR": "1",
    }
    if mitogen:
        plugins = next(VENV.glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"), None)
        found |= {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(plugins)}
    return found


def changed(out: str) -> int | None:
    """How many tasks changed something, over all hosts; None where there is no recap, or a host failed. Pure."""
    rows = [tuple(int(number) for number in row) for row in _RECAP.findall(out)]
    if not rows or any(unreachable or failed for _, unreachable, failed in rows):
        return None
    return sum(row[0] for row in rows)


def unchanged(code: int, out: str, err: str) -> str:
    """What is wrong with a run that should have found nothing to do; empty where it did not."""
    return _wrong(code, out, err) or ("" if changed(out) == 0 else f"found {changed(out)} changes, expected none")


def converged(code: int, out: str, err: str) -> str:
    """What is wrong with a run that may change things; empty where nothing is."""
    return _wrong(code, out, err)


def _wrong(code: int, out: str, err: str) -> str:
    if code == 0 and changed(out) is not None:
        return ""
    fatal = [line for line in out.splitlines() if line.startswith(("fatal:", "failed:", "[ERROR]"))]
    lines = fatal or (err.strip() or out.strip() or "it said nothing").splitlines()[-1:]
    return f"ended with {code}: {lines[0][:300]}"
