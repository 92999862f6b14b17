"""Releases of one service on a host, and what the host could run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from pyinfra.api import FactBase
from typing_extensions import override

# What Debian's python3 and nodejs are where none is installed yet, by VERSION_ID.
_PYTHON_OF_DEBIAN = {"12": "3.11", "13": "3.13"}
_NODE_OF_DEBIAN = {"12": "18", "13": "20"}


@dataclass
class ReleaseState:
    """Versions that stand complete below one folder, with their artefacts' SHA-256s, and what the links name."""

    installed: dict[str, str] = field(default_factory=dict)
    current: str = ""
    previous: str = ""


@dataclass(frozen=True)
class Platform:
    """Architecture (`x86_64`), versions of python3 (`3.11`) and node (`18`), as far as the host tells."""

    arch: str = ""
    python: str = ""
    node: str = ""


class Releases(FactBase[ReleaseState]):
    """The releases below `base` (`/opt/<system>/<service>`)."""

    @override
    def command(self, base: str) -> str:  # type: ignore[override]
        folder = shlex.quote(base)
        return (
            f'for m in {folder}/releases/*/.artefact; do [ -f "$m" ] || continue; v=${{m%/.artefact}}; '
            'printf \'release\\t%s\\t%s\\n\' "${v##*/}" "$(head -c 64 "$m")"; done; '
            f'for l in current previous; do t=$(readlink {folder}/"$l") && '
            'printf \'%s\\t%s\\n\' "$l" "${t##*/}"; done; true'
        )

    @staticmethod
    @override
    def default() -> ReleaseState:
        return ReleaseState()

    @override
    def process(self, output: list[str]) -> ReleaseState:
        return parse_releases(output)


def parse_releases(lines: list[str]) -> ReleaseState:
    """Reads `release VERSION SHA256`, `current VERSION` and `previous VERSION`, separated by tabs."""
    state = ReleaseState()
    for line in lines:
        match line.split("\t"):
            case ["release", version, sha256]:
                state.installed[version] = sha256
            case ["current", version]:
                state.current = version
            case ["previous", version]:
                state.previous = version
    return state


class HostPlatform(FactBase[Platform]):
    """What an artefact has to fit; what is not installed yet counts as this Debian would install it."""

    @override
    def command(self) -> str:  # type: ignore[override]
        return (
            "printf 'arch\\t%s\\n' \"$(uname -m)\"; . /etc/os-release; printf 'debian\\t%s\\n' \"$VERSION_ID\"; "
            "python3 -I -c 'import sys; print(\"python\\t%d.%d\" % sys.version_info[:2])' 2>/dev/null; "
            "node --version 2>/dev/null | sed -n 's/^v\\([0-9]*\\)\\..*/node\\t\\1/p'; true"
        )

    @staticmethod
    @override
    def default() -> Platform:
        return Platform()

    @override
    def process(self, output: list[str]) -> Platform:
        return parse_platform(output)


def parse_platform(lines: list[str]) -> Platform:
    """Reads `arch`, `debian` and, where there are such, `python` and `node`, each with its value after a tab."""
    found = dict(line.split("\t", 1) for line in lines if "\t" in line)
    debian = found.get("debian", "")
    python = found.get("python") or _PYTHON_OF_DEBIAN.get(debian, "")
    return Platform(found.get("arch", ""), python, found.get("node") or _NODE_OF_DEBIAN.get(debian, ""))
