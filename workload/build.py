"""Builds the stand-in workload into release artefacts: the same bytes, and SHA-256, on every machine.

    python workload/build.py                            everydayai's backend and frontend 1.0.0 into artefacts/
    python workload/build.py --pin                      the same, and pin them in releases.yaml
    python workload/build.py backend --version 1.1.0 --fault health
    python workload/build.py tchat spheroseg --pin      every service of these systems, by its kind
    python workload/build.py tchat/auth --version 1.1.0

An artefact holds release.json, ci.json and what its kind needs: Python requirements.txt (pinned, hashed), wheels/ and
app/; Go the static program; Node app/ with its libraries; static files dist/. Wheels come through pip once and stay in
artefacts/wheels, as the libraries of Node do through npm.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # started as a script: its own folder is in the path, the project is not
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workload import models
from workload.described import EXAMPLE, EXAMPLES, Described, services
from workload.packing import (
    ARCH,
    ARTEFACTS,
    CI,
    HERE,
    PROJECT,
    BuildError,
    Files,
    digest,
    json_of,
    migrations,
    tar,
    tree,
    with_manifest,
)
from workload.wheels import PYTHON, fetch_wheels

__all__ = ["CI", "HERE", "BuildError", "Built", "build", "pin"]

SYSTEM = EXAMPLE
RELEASES = PROJECT / "inventories" / SYSTEM / "releases.yaml"
SERVICES = tuple(EXAMPLES)
FAULTS = ("none", "health", "crash", "slow")
FIRST_VERSION = "1.0.0"


@dataclass(frozen=True)
class Built:
    """One artefact: where it is and what `releases.yaml` pins."""

    service: str
    version: str
    path: Path
    sha256: str
    system: str = SYSTEM


def build(
    service: str,
    version: str = FIRST_VERSION,
    *,
    system: str = SYSTEM,
    fault: str = "none",
    api_base: str | None = None,
    out: Path = ARTEFACTS,
    wheels: Path = ARTEFACTS / "wheels",
) -> Built:
    """Builds one artefact and gives its place and checksum.

    Args:
        service: a service of the system.
        version: what the release reports as its version.
        system: whose inventory describes the service.
        fault: `health` answers 500 on /health, `crash` ends at start, `slow` takes 2 s more an answer; no static ones.
        api_base: the API's address in the page (FE-05); without it, `%VITE_API_BASE_URL%` stays for the deploy to fill.
        out: the folder for the artefact.
        wheels: the folder where downloaded wheels stay.

    Raises:
        BuildError: an unknown service or fault, a version that is none, or what it needs cannot be had.
    """
    known = services(system)
    if service not in known:
        raise BuildError(f"found service {service!r}, expected one of: {', '.join(known)}")
    return make(known[service], version, fault=fault, api_base=api_base, out=out, wheels=wheels)


def make(
    one: Described,
    version: str = FIRST_VERSION,
    *,
    fault: str = "none",
    api_base: str | None = None,
    out: Path = ARTEFACTS,
    wheels: Path = ARTEFACTS / "wheels",
) -> Built:
    """The same for a service that is described by hand.

    Raises:
        BuildError: as `build`.
    """
    if fault not in FAULTS or (fault != "none" and one.kind == "static"):
        raise BuildError(f"found fault {fault!r} for {one.name}, expected one of: {', '.join(FAULTS)} (none if static)")
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+([.+-][0-9A-Za-z.]+)?", version):
        raise BuildError(f"found version {version!r}, expected one such as 1.2.0")
    programs: frozenset[str] = frozenset()
    if one.kind == "static":
        files = _frontend(one, version, api_base)
    elif one.kind == "python":
        files = _python(one, version, fault, wheels)
    elif one.kind == "node":
        files = _node(one, version, fault)
    else:
        files, programs = _go(one, version, fault), frozenset({one.program})
    data = tar(files, programs)
    path = out / f"{one.system}-{one.name}-{version}.tar"
    out.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
    return Built(one.name, version, path, hashlib.sha256(data).hexdigest(), one.system)


def _python(one: Described, version: str, fault: str, wheels: Path) -> Files:
    if one.program != "venv/bin/uvicorn" or not re.fullmatch(r"\w+(\.\w+)*:\w+", one.entry):
        expected = "venv/bin/uvicorn with an entry such as main:app, which is what this stand-in is run by"
        raise BuildError(f"{one.system}/{one.name}: found {one.program or 'no exec'} {one.entry}, expected {expected}")
    source = tree(HERE / "backend")
    requirements = source.pop("requirements.txt")
    del source["requirements.in"]
    if one.system != EXAMPLE:
        del source[".env.example"]  # the example's own
    module, _, name = one.entry.partition(":")
    if one.entry != "main:app":
        source[f"{module.replace('.', '/')}.py"] = f"from main import app as {name}\n".encode()
    info = {"NAME": one.name, "ROLE": one.role, "VERSION": version, "FAULT": fault}
    lines = "".join(f'{key} = "{value}"\n' for key, value in info.items())
    source["build_info.py"] = f'"""What this build is."""\n\n{lines}'.encode()
    files = {f"app/{name}": data for name, data in source.items()}
    files |= {f"wheels/{path.name}": path.read_bytes() for path in fetch_wheels(requirements.decode(), wheels)}
    files["requirements.txt"] = requirements
    about = {"name": one.name, "version": version, "kind": "python"}
    return with_manifest(files, {**about, "python": PYTHON, "arch": ARCH, "entry": one.entry})


def _go(one: Described, version: str, fault: str) -> Files:
    from workload import golang

    if not re.fullmatch(r"[\w-]+(/[\w.-]+)*", one.program):
        expected = "a program of the release, such as bin/server"
        raise BuildError(f"{one.system}/{one.name}: found {one.program or 'no exec'}, expected {expected}")
    files = {one.program: golang.program(), **migrations()}
    return with_manifest(files, _about(one, version, fault) | {"arch": ARCH})


def _node(one: Described, version: str, fault: str) -> Files:
    from workload import nodejs

    if not re.fullmatch(r"[\w-]+(/[\w-]+)*\.c?js", one.entry):
        found = one.entry or "no entry"
        raise BuildError(f"{one.system}/{one.name}: found {found}, expected an entry such as dist/server.js")
    return with_manifest(
        nodejs.files(one.entry) | migrations(), _about(one, version, fault) | {"node": nodejs.NODE, "entry": one.entry}
    )


def _about(one: Described, version: str, fault: str) -> dict[str, str]:
    """What the program reads of itself at its start."""
    about = {"system": one.system, "name": one.name, "version": version, "kind": one.kind}
    return about if fault == "none" else about | {"fault": fault}


def _frontend(one: Described, version: str, api_base: str | None) -> Files:
    source = tree(HERE / "frontend")
    page = source.pop("index.html").decode()
    if one.system != EXAMPLE:
        page = page.replace("EverydayAI", one.system)
    dist: Files = {}
    for name, data in source.items():
        stem, _, kind = name.partition(".")
        hashed = f"assets/{stem}.{hashlib.sha256(data).hexdigest()[:8]}.{kind}"
        page = page.replace(f"/assets/{name}", f"/{hashed}")
        dist[hashed] = data
    build_id = f"{version}-{digest(dist)[:8]}"
    page = page.replace("%BUILD%", build_id)
    dist["index.html"] = (page.replace("%VITE_API_BASE_URL%", api_base) if api_base else page).encode()
    dist["build.json"] = json_of({"build": build_id})
    files = {f"dist/{name}": data for name, data in dist.items()}
    return with_manifest(files, {"name": one.name, "version": version, "kind": "static"})


def pin(built: list[Built], file: Path = RELEASES) -> None:
    """Writes versions and checksums into `releases.yaml`; its head comment and other artefacts stay."""
    import yaml  # building alone needs the standard library only

    text = file.read_text() if file.exists() else ""
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#") or not line.strip())
    releases = (yaml.safe_load(text) or {}).get("releases") or {}
    for one in built:
        release = releases.setdefault(one.service, {"artefacts": {}})
        release["version"] = one.version
        release["artefacts"][one.version] = {"file": one.path.name, "sha256": one.sha256}
    lines = ["releases:"]
    for service, release in sorted(releases.items()):
        lines += [f"  {service}:", f"    version: {release['version']}", "    artefacts:"]
        for version, artefact in sorted(release["artefacts"].items()):
            lines += [f"      {version}:", *(f"        {key}: {artefact[key]}" for key in ("file", "sha256"))]
    file.write_text(head + "\n".join(lines) + "\n")


def wanted(words: Iterable[str]) -> list[Described]:
    """The services that words of the command line name: a system, system/service, or one of the example's.

    Raises:
        BuildError: a word names nothing.
    """
    found: list[Described] = []
    for word in words:
        system, _, service = word.partition("/")
        if word in EXAMPLES:
            found.append(EXAMPLES[word])
            continue
        known = services(system)
        if service and service not in known:
            raise BuildError(f"found service {service!r} of {system}, expected one of: {', '.join(known)}")
        found += [known[service]] if service else known.values()
    return found


def remember(made: Mapping[Path, str], folder: Path) -> None:
    """Notes what was built, as sha256sum does: bin/clean removes these and nothing that took their place since."""
    noted = folder / "built"
    before = noted.read_text().splitlines() if noted.exists() else []
    lines = {*before, *(f"{sha256}  {path.name}" for path, sha256 in made.items())}
    noted.write_text("".join(f"{line}\n" for line in sorted(lines)))


def main(argv: list[str] | None = None) -> int:
    """The command line; prints a line an artefact."""
    parser = argparse.ArgumentParser(description="Build the stand-in workload into release artefacts.")
    what = f"a system, SYSTEM/SERVICE, or a service of {EXAMPLE}; all of {EXAMPLE} when nothing is named"
    parser.add_argument("services", nargs="*", metavar="SYSTEM", help=what)
    parser.add_argument("--version", default=FIRST_VERSION, help=f"version of the release (default {FIRST_VERSION})")
    parser.add_argument("--fault", default="none", help=f"a faulty build: {', '.join(FAULTS)}")
    parser.add_argument("--api-base", help="address of the API in the page, such as https://api.example.test/api")
    parser.add_argument("--out", type=Path, default=ARTEFACTS, help="folder for the artefacts")
    parser.add_argument("--pin", action="store_true", help=f"write versions and checksums into {RELEASES.name}")
    args = parser.parse_args(argv)
    try:
        built = [
            make(one, args.version, fault=args.fault, api_base=args.api_base, out=args.out)
            for one in wanted(args.services or [EXAMPLE])
        ]
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    made = {one.path: one.sha256 for one in built}
    for system in sorted({one.system for one in built} - {EXAMPLE}):
        # What its inventory pins is the checksum of this stand-in; a real model is put in its place by hand.
        for path in models.of(PROJECT / "inventories" / system / "system.yaml", args.out):
            made[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path, sha256 in made.items():
        print(f"{sha256}  {path}")
    remember(made, args.out)
    for system in {one.system for one in built} if args.pin else ():
        pin([one for one in built if one.system == system], PROJECT / "inventories" / system / RELEASES.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
