"""A version that was rolled back is on hold: it is refused until somebody lifts the hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from mainstay import hostkit
from mainstay.engine import scripts
from mainstay.errors import HostError
from mainstay.fleet import Fleet
from mainstay.inventory import Environment


@dataclass(frozen=True)
class Hold:
    """`service` must not run `version` again; `to` is the version that it was returned to."""

    service: str
    version: str
    to: str
    who: str
    when: str
    reason: str

    @classmethod
    def read(cls, text: str) -> Hold | None:
        """The hold in a host's file, None where the file holds something else."""
        try:
            data = json.loads(text)
            return cls(**{name: str(data[name]) for name in ("service", "version", "to", "who", "when", "reason")})
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return f"{self.service} {self.version} is on hold since {self.when} by {self.who}: {self.reason}"


def in_force(found: Iterable[Hold]) -> list[Hold]:
    """Each service's newest hold, in the order of their names: hosts of one role hold the same."""
    newest: dict[str, Hold] = {}
    for hold in found:
        if hold.service not in newest or hold.when > newest[hold.service].when:
            newest[hold.service] = hold
    return [newest[name] for name in sorted(newest)]


def refused(environment: Environment, found: Iterable[Hold]) -> list[Hold]:
    """The holds that the inventory's own pins meet."""
    pins = {name: release.version for name, release in environment.releases.items()}
    return [hold for hold in in_force(found) if pins.get(hold.service) == hold.version]


def read(fleet: Fleet, names: Iterable[str]) -> list[Hold]:
    """Every hold on these hosts; a host that cannot be asked, or a file that is none, has none."""
    answers = scripts.ask(fleet, names, _READ)
    return [hold for text in answers.said.values() for line in text.splitlines() if (hold := Hold.read(line))]


# A plan asks every host: this costs it two programs, and a whole snapshot a hundred.
_READ = 'for h in /var/lib/mainstay/holds/*.json; do [ ! -e "$h" ] || { cat -- "$h"; echo; }; done'


def set_on(fleet: Fleet, names: Iterable[str], hold: Hold) -> None:
    """Writes the hold to each host.

    Raises:
        HostError: a host could not write it.
    """
    text = json.dumps(asdict(hold), sort_keys=True)
    _on(fleet, names, hostkit.inline("holds", "set", hold.service), stdin=text + "\n")


def lift(fleet: Fleet, names: Iterable[str], service: str) -> None:
    """Removes the hold on a service from each host.

    Raises:
        HostError: a host could not be asked.
    """
    _on(fleet, names, hostkit.inline("holds", "lift", service))


def _on(fleet: Fleet, names: Iterable[str], command: str, stdin: str = "") -> None:
    answers = scripts.ask(fleet, names, command, stdin=stdin)
    for name, reason in answers.failed.items():
        raise HostError(name, reason)
