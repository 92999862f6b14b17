"""Debian packages: present, without what they merely recommend."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Sequence

from pyinfra import host
from pyinfra.api import operation

from deploys.operations.files import KIT
from facts.packages import MissingPackages
from mainstay import context
from mainstay.plan_notes import irreversible, note

# Another apt (unattended-upgrades, a colleague) is waited for rather than failed on; a mirror that does not answer is
# asked three times and then named, where apt would wait, or go on with the lists that it has.
APT = (
    "env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "
    "-o Acquire::Retries=3 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o APT::Update::Error-Mode=any"
)
# apt has been seen to wait for ever with nothing left to wait for, beside a proxy that closed on it; lists are fetched
# anew then. An installation is cut short by nothing but its deadline, or the host's power.
UPDATE = f"{{ timeout -k 5 120 {APT} update || timeout -k 5 240 {APT} update; }}"

# Lists that were asked for less than an hour ago do; a host fresh from its image has none. The stamp is Mainstay's own:
# apt dates its lists by what the mirror says of them.
STAMP = "/var/cache/apt/mainstay-lists"
FRESH = f"find {STAMP} -mmin -60 2>/dev/null | grep -q . && ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1"
CURRENT = f"{{ {FRESH}; }} || {{ {UPDATE} && touch {STAMP}; }}"
# apt refuses to go on where dpkg was ended in the middle of something; these files are how it knows.
CUT_SHORT = "ls /var/lib/dpkg/updates | grep -q ."
FINISHED = "env DEBIAN_FRONTEND=noninteractive dpkg --force-confold --configure -a"


@operation()
def present(names: list[str], units: Sequence[str] = ()) -> Generator[str, None, None]:
    """Installs what is missing of `names`; package lists are fetched only then, so a second run asks apt nothing.

    What an installation before it left half done is finished, where apt would refuse to go on. Debian starts what it
    installs; `units` are held back, and are to be started once they are configured. They are journalled before that, so
    that a put-back does not leave them running.
    """
    missing = _missing(names)
    if not missing:
        return
    note("packages", "install " + " ".join(missing))
    irreversible("packages installed: " + " ".join(missing))
    run = context.run_id()
    for unit in units if run else ():
        yield shlex.join([f"{KIT}/journal", "unit", str(run), unit])
    yield CURRENT
    install = f"{APT} install {_install(missing)}"
    whole = f"{install} || {{ {CUT_SHORT} && {FINISHED} && {install}; }}"
    yield shlex.join([f"{KIT}/hold-units", *units, "--", "sh", "-c", whole])


@operation()
def fetched(names: list[str]) -> Generator[str, None, None]:
    """Downloads what is missing of `names` and installs nothing: a mirror that fails does so before any change."""
    missing = _missing(names)
    if not missing:
        return
    yield CURRENT
    download = f"install --download-only {_install(missing)}"
    # A download changes nothing that apt would have to lock dpkg for, or to see finished.
    yield f"{APT} {download} || {{ {CUT_SHORT} && {APT} -o Debug::NoLocking=1 {download}; }}"


def _missing(names: list[str]) -> list[str]:
    """Which of `names` are not installed; where none is, the operation is no change."""
    missing: list[str] = host.get_fact(MissingPackages, packages=names)
    if not missing:
        host.noop(f"packages are installed: {', '.join(names)}")
    return missing


def _install(names: list[str]) -> str:
    return "--no-install-recommends " + " ".join(shlex.quote(name) for name in names)
