"""Builds the stand-in workload into release artefacts: the same bytes, and SHA-256, on every machine.

    python workload/build.py                            backend and frontend 1.0.0 into artefacts/
    python workload/build.py --pin                      the same, and pin them in releases.yaml
    python workload/build.py backend --version 1.1.0 --fault health

A Python artefact holds release.json, ci.json, requirements.txt (pinned with hashes), wheels/ and app/; a static one
release.json, ci.json and dist/. Wheels come through pip once and stay in artefacts/wheels.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SYSTEM = "everydayai"
HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
ARTEFACTS = PROJECT / "artefacts"
RELEASES = PROJECT / "inventories" / SYSTEM / "releases.yaml"
SERVICES = ("backend", "frontend")
FAULTS = ("none", "health", "crash", "slow")
FIRST_VERSION = "1.0.0"
PYTHON = "3.11"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64")
# What a run of CI would have written; the gates of a release read it (DP-01..06).
CI = {"tests": "passed", "coverage": 86.0, "changelog": True, "secret_scan": "clean", "api_compat": True}

Files = dict[str, bytes]


class BuildError(Exception):
    """The artefact cannot be built; the message is one sentence."""


@dataclass(frozen=True)
class Built:
    """One artefact: where it is and what `releases.yaml` pins."""

    service: str
    version: str
    path: Path
    sha256: str


def build(
    service: str,
    version: str = FIRST_VERSION,
    *,
    fault: str = "none",
    api_base: str | None = None,
    out: Path = ARTEFACTS,
    wheels: Path = ARTEFACTS / "wheels",
) -> Built:
    """Builds one artefact and gives its place and checksum.

    Args:
        service: `backend` or `frontend`.
        version: what the release reports as its version.
        fault: `health` answers 500 on /health, `crash` ends at start, `slow` takes 2 s more an answer; backend only.
        api_base: the API's address in the page (FE-05); without it, `%VITE_API_BASE_URL%` stays for the deploy to fill.
        out: the folder for the artefact.
        wheels: the folder where downloaded wheels stay.

    Raises:
        BuildError: an unknown service or fault, a version that is none, or wheels that cannot be had.
    """
    if service not in SERVICES:
        raise BuildError(f"found service {service!r}, expected one of: {', '.join(SERVICES)}")
    if fault not in FAULTS or (fault != "none" and service != "backend"):
        raise BuildError(f"found fault {fault!r} for {service}, expected one of: {', '.join(FAULTS)} (backend only)")
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+([.+-][0-9A-Za-z.]+)?", version):
        raise BuildError(f"found version {version!r}, expected one such as 1.2.0")
    files = _backend(version, fault, wheels) if service == "backend" else _frontend(version, api_base)
    data = _tar(files)
    path = out / f"{SYSTEM}-{service}-{version}.tar"
    out.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
    return Built(service, version, path, hashlib.sha256(data).hexdigest())


def _backend(version: str, fault: str, wheels: Path) -> Files:
    source = _tree(HERE / "backend")
    requirements = source.pop("requirements.txt")
    del source["requirements.in"]
    info = f'"""What this build is."""\n\nVERSION = {version!r}\nFAULT = {fault!r}\n'
    source["build_info.py"] = info.replace("'", '"').encode()
    files = {f"app/{name}": data for name, data in source.items()}
    files |= {f"wheels/{path.name}": path.read_bytes() for path in fetch_wheels(requirements.decode(), wheels)}
    files["requirements.txt"] = requirements
    about = {"name": "backend", "version": version, "kind": "python"}
    return _with_manifest(files, {**about, "python": PYTHON, "arch": "x86_64", "entry": "main:app"})


def _frontend(version: str, api_base: str | None) -> Files:
    source = _tree(HERE / "frontend")
    page = source.pop("index.html").decode()
    dist: Files = {}
    for name, data in source.items():
        stem, _, kind = name.partition(".")
        hashed = f"assets/{stem}.{hashlib.sha256(data).hexdigest()[:8]}.{kind}"
        page = page.replace(f"/assets/{name}", f"/{hashed}")
        dist[hashed] = data
    build_id = f"{version}-{_digest(dist)[:8]}"
    page = page.replace("%BUILD%", build_id)
    dist["index.html"] = (page.replace("%VITE_API_BASE_URL%", api_base) if api_base else page).encode()
    dist["build.json"] = _json({"build": build_id})
    files = {f"dist/{name}": data for name, data in dist.items()}
    return _with_manifest(files, {"name": "frontend", "version": version, "kind": "static"})


def _with_manifest(files: Files, about: dict[str, str]) -> Files:
    # No commit of a repository: the digest of the sources says the same and is the same on every machine.
    ci = {**CI, "commit": _digest(files)[:40]}
    return {**files, "release.json": _json(about), "ci.json": _json(ci)}


def fetch_wheels(requirements: str, folder: Path) -> list[Path]:
    """The wheels of `requirements`, one a line with one SHA-256 each; pip is asked only for what is not in `folder`.

    Raises:
        BuildError: pip cannot get them, or what it got is not what is pinned.
    """
    pinned = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", requirements))
    folder.mkdir(parents=True, exist_ok=True)
    if pinned - _by_digest(folder).keys():
        _download(requirements, folder)
    found = _by_digest(folder)
    missing = pinned - found.keys()
    if missing:
        raise BuildError(f"{folder}: {len(missing)} of {len(pinned)} pinned wheels are missing after the download")
    return sorted(found[digest] for digest in pinned)


def _by_digest(folder: Path) -> dict[str, Path]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.glob("*.whl")}


def _download(requirements: str, folder: Path) -> None:
    file = folder / "requirements.txt"
    file.write_text(requirements)
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    # --no-deps: the list is complete, and pip would read markers for this machine's Python, not for the hosts'.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", PYTHON, *platforms, "-d", str(folder), "-r", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1] if errors else f"pip ended with {done.returncode}"
        raise BuildError(f"{folder}: cannot get the pinned wheels ({reason})")


def _tree(folder: Path) -> Files:
    """Contents of all files below `folder`, by relative name; nothing that Python or an editor left there."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.suffix not in (".pyc", ".swp")
    }


def _digest(files: Files) -> str:
    total = hashlib.sha256()
    for name, data in sorted(files.items()):
        total.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    return total.hexdigest()


def _json(data: Mapping[str, object]) -> bytes:
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()


def _tar(files: Files) -> bytes:
    """An uncompressed tar that depends on names and contents alone: sorted, owned by root, all of one time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, 0
            info.uname = info.gname = "root"
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


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


def main(argv: list[str] | None = None) -> int:
    """The command line; prints a line an artefact."""
    parser = argparse.ArgumentParser(description="Build the stand-in workload into release artefacts.")
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="backend, frontend; both when none is named")
    parser.add_argument("--version", default=FIRST_VERSION, help=f"version of the release (default {FIRST_VERSION})")
    parser.add_argument("--fault", default="none", help=f"a faulty backend: {', '.join(FAULTS)}")
    parser.add_argument("--api-base", help="address of the API in the page, such as https://api.example.test/api")
    parser.add_argument("--out", type=Path, default=ARTEFACTS, help="folder for the artefacts")
    parser.add_argument("--pin", action="store_true", help=f"write versions and checksums into {RELEASES.name}")
    args = parser.parse_args(argv)
    try:
        built = [
            build(service, args.version, fault=args.fault, api_base=args.api_base, out=args.out)
            for service in args.services or SERVICES
        ]
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    for one in built:
        print(f"{one.sha256}  {one.path}")
    if args.pin:
        pin(built)
    return 0


if __name__ == "__main__":
    sys.exit(main())
