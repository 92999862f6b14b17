"""Model files: gigabytes, placed by their checksum, sent in one stream or fetched by the host itself."""

from __future__ import annotations

import posixpath
import shlex
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand, operation

from deploys.operations import checksums
from deploys.operations.files import KIT
from facts.ml import ModelFile, ModelState
from mainstay import context, ssh
from mainstay.inventory import Environment
from mainstay.plan_notes import failure, note
from mainstay.storage import Store

if TYPE_CHECKING:
    from pyinfra.api import Host, State

# Longer than the largest model takes over the slowest line that anybody would deploy by.
LINK_S = 4 * 3600
OWNER = ("root", "root", 0o644)


@dataclass(frozen=True)
class Source:
    """Where a model comes from: `artefact` on this machine, or `key` in the environment's object store."""

    name: str
    sha256: str
    artefact: Path | None = None
    key: str = ""

    @classmethod
    def of(cls, environment: Environment, name: str, sha256: str, file: str | None, key: str | None) -> Self:
        """The source that the inventory names."""
        return cls(name, sha256, environment.root / "artefacts" / file if file else None, key or "")

    def __str__(self) -> str:
        return self.artefact.name if self.artefact else self.key


@operation()
def placed(source: Source, path: str) -> Generator[Any, None, None]:
    """Makes `path` the model with that checksum: a link, which turns when the whole file stands beside the old one.

    Raises:
        UsageError: the host lacks the model, and the artefact is not on this machine or is another one.
    """
    folder, name = posixpath.split(path)
    state = host.get_fact(ModelFile, path=path)
    if state.sha256 == source.sha256 and state.untouched:
        yield from _owned(state, path)
        return
    words = [f"{KIT}/install-model", context.run_id() or "-", folder, name, source.sha256]
    if source.sha256 in state.kept and state.sha256 != source.sha256:
        note(path, f"{_short(state.sha256)} -> {_short(source.sha256)}, which is on the host")
        yield shlex.join([*words, "kept"])
        return
    before = "was changed by hand" if state.sha256 == source.sha256 else _short(state.sha256)
    note(path, f"{before} -> {_short(source.sha256)} from {source}")
    if source.artefact is not None:
        proven(source.artefact, source.sha256)
        yield FunctionCommand(send, (), {"words": words, "artefact": source.artefact})
    else:
        url = Store.of(context.current_environment()).link(source.key, LINK_S)
        # By standard input: who has the link has the model.
        yield StringCommand(shlex.join([*words, "fetch"]), _stdin=f'url = "{url}"\n')


def _owned(state: ModelState, path: str) -> Generator[str, None, None]:
    if (state.owner, state.group, state.mode) == OWNER:
        host.noop(f"{path} stands")
        return
    note(path, f"{state.owner}:{state.group} {state.mode:o} -> root:root 644")
    # The time of its change is what tells that the content is the one that was proven; these keep it.
    yield f"chown root:root {shlex.quote(path)} && chmod 0644 {shlex.quote(path)}"


def _short(sha256: str) -> str:
    return f"SHA-256 {sha256[:12]}" if sha256 else "nothing"


@lru_cache(maxsize=16)
def proven(artefact: Path, sha256: str) -> None:
    """Reads the file once and compares its checksum.

    Raises:
        UsageError: no such file, or another checksum.
    """
    checksums.check(artefact, sha256, "ml.model.sha256")


def send(state: State, host: Host, words: list[str], artefact: Path) -> bool:
    """Streams the file over a connection of its own, so that nobody holds gigabytes in memory; called by pyinfra."""
    environment, member = context.current()
    program, *rest = ssh.command_line(environment, member)
    alive = ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]
    argv = [program, *alive, *rest, f"sudo -n {shlex.join(words)}"]
    with artefact.open("rb") as data:
        done = subprocess.run(argv, stdin=data, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        failure((lines[-1] if lines else f"ssh ended with {done.returncode}").removeprefix("mainstay: "))
    return done.returncode == 0
