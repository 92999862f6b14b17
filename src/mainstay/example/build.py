"""Builds service/ into a release artefact, the same bytes on every machine, and pins it in releases.yaml.

    python build.py            version 1.0.0
    python build.py 1.1.0      the next one: change service/, build, roll out

An artefact is a tar of release.json, requirements.txt (exact, with checksums), wheels/ and app/. Needs Python and pip.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

SYSTEM, SERVICE = "@NAME@", "links"
PYTHON = "3.11"  # Debian 12's; Debian 13 has 3.13
HERE = Path(__file__).resolve().parent
ARTEFACTS, RELEASES = HERE / "artefacts", HERE / "inventories" / SYSTEM / "releases.yaml"


def main(version: str = "1.0.0") -> None:
    """Build and pin one version."""
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        sys.exit(f"build.py: found version {version!r}, expected one such as 1.1.0")
    about = {"name": SERVICE, "version": version, "kind": "python", "python": PYTHON, "entry": "main:application"}
    files = {"release.json": json.dumps(about, indent=2).encode() + b"\n"}
    for path in sorted((HERE / "service").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            files[f"app/{path.relative_to(HERE / 'service')}"] = path.read_bytes()
    files["requirements.txt"] = files.pop("app/requirements.txt")
    files |= {f"wheels/{path.name}": path.read_bytes() for path in wheels(files["requirements.txt"].decode())}
    data = archive(files)
    target = ARTEFACTS / f"{SYSTEM}-{SERVICE}-{version}.tar"
    target.write_bytes(data)
    pin(version, target.name, hashlib.sha256(data).hexdigest())
    print(f"{target} is pinned in {RELEASES}")


def wheels(requirements: str) -> list[Path]:
    """The pinned wheels; pip is asked only for what is not in artefacts/wheels yet."""
    folder, pinned = ARTEFACTS / "wheels", set(re.findall(r"--hash=sha256:([0-9a-f]{64})", requirements))
    folder.mkdir(parents=True, exist_ok=True)
    if pinned - by_digest(folder).keys():
        listed = HERE / "service" / "requirements.txt"
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        words += ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--dest", str(folder)]
        if subprocess.run([*words, "--requirement", str(listed)], check=False).returncode != 0:
            sys.exit(f"build.py: {folder}: found no way to get the wheels, expected pip and a package index")
    found = by_digest(folder)
    return sorted(found[digest] for digest in pinned)


def by_digest(folder: Path) -> dict[str, Path]:
    """The wheels of a folder by their SHA-256."""
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.glob("*.whl")}


def archive(files: dict[str, bytes]) -> bytes:
    """A tar that depends on names and contents alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, 0
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pin(version: str, file: str, sha256: str) -> None:
    """Write version and checksum into releases.yaml; versions of before stay, so that a rollback finds them."""
    text = RELEASES.read_text(encoding="utf-8")
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    pins = dict(re.findall(r"^      (\S+): (\{file: .*\})$", text, re.MULTILINE))
    pins[version] = f"{{file: {file}, sha256: {sha256}}}"
    body = "".join(f"      {name}: {pins[name]}\n" for name in sorted(pins))
    releases = f"releases:\n  {SERVICE}:\n    version: {version}\n    artefacts:\n{body}"
    RELEASES.write_text(f"{head}\n{releases}", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
