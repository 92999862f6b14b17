"""What is installed in a virtual environment, and what its packages need and do not have."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pyinfra.api import FactBase
from typing_extensions import override

# Asked of the environment's own Python, without site or user folders of anybody else. The names are those of PEP 508.
_SCRIPT = """
import json, os, platform as p, sys
from importlib.metadata import distributions
found = [(d.metadata["Name"], d.version, d.requires or []) for d in distributions()]
markers = {"os_name": os.name, "sys_platform": sys.platform, "platform_machine": p.machine(),
    "platform_python_implementation": p.python_implementation(), "platform_release": p.release(),
    "platform_system": p.system(), "platform_version": p.version(),
    "python_version": "%d.%d" % sys.version_info[:2], "python_full_version": p.python_version(),
    "implementation_name": sys.implementation.name, "implementation_version": p.python_version(), "extra": ""}
print(json.dumps([found, markers]))
"""


@dataclass(frozen=True)
class Installed:
    """Versions by name (as PEP 503 writes it), and what each package requires as its metadata says."""

    versions: dict[str, str] = field(default_factory=dict)
    requires: dict[str, list[str]] = field(default_factory=dict)
    markers: dict[str, str] = field(default_factory=dict)

    @property
    def unmet(self) -> list[str]:
        """What `pip check` would find, a sentence each: required and not there, or there in another version."""
        found = [self._unmet(name, text) for name, texts in self.requires.items() for text in texts]
        return [sentence for sentence in found if sentence]

    def _unmet(self, name: str, text: str) -> str:
        try:
            required = Requirement(text)
        except InvalidRequirement:
            return f"{name} requires {text!r}, which cannot be read"
        if required.marker and not required.marker.evaluate(self.markers):
            return ""
        version = self.versions.get(canonicalize_name(required.name))
        if version is None:
            return f"{name} requires {required.name}, which is not installed"
        if not required.specifier.contains(version, prereleases=True):
            return f"{name} requires {required.name}{required.specifier}, found {version}"
        return ""


class Distributions(FactBase[Installed]):
    """The packages that `python` sees. `python -m pip check` costs 2 s, most of it for reading pip out of its wheel."""

    @override
    def command(self, python: str) -> str:  # type: ignore[override]
        return f"{shlex.quote(python)} -I -c {shlex.quote(_SCRIPT)} 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> Installed:
        return Installed()

    @override
    def process(self, output: list[str]) -> Installed:
        return parse_installed(output)


def parse_installed(lines: list[str]) -> Installed:
    """Reads the last line: `[[[NAME, VERSION, REQUIRES]…], MARKERS]`; nothing is installed where it is none."""
    try:
        found, markers = json.loads(lines[-1])
        rows: list[tuple[str, str, list[Any]]] = [(canonicalize_name(n), str(v), list(r)) for n, v, r in found]
        return Installed(
            {name: version for name, version, _ in rows},
            {name: [str(text) for text in texts] for name, _, texts in rows},
            {str(key): str(value) for key, value in markers.items()},
        )
    except (IndexError, ValueError, TypeError, AttributeError):
        return Installed()
