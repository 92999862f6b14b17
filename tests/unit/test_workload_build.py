"""The build of the stand-in workload: the same artefact from every build, whole, and pinned."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from workload import build as builder
from workload import wheels


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        infos = tar.getmembers()
        assert all((info.mtime, info.uid, info.gid, info.mode) == (0, 0, 0, 0o644) for info in infos)
        assert [info.name for info in infos] == sorted(info.name for info in infos)
        return {info.name: tar.extractfile(info).read() for info in infos}  # type: ignore[union-attr]


@pytest.mark.parametrize("service", builder.SERVICES)
def test_two_builds_are_the_same_bytes(service: str, tmp_path: Path) -> None:
    one, two = (builder.build(service, out=tmp_path / name) for name in ("one", "two"))
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.sha256 == two.sha256 == hashlib.sha256(one.path.read_bytes()).hexdigest()
    assert one.path.name == f"everydayai-{service}-1.0.0.tar"
    assert [path.name for path in (tmp_path / "one").iterdir()] == [one.path.name]


def test_a_backend_artefact_is_whole(tmp_path: Path) -> None:
    files = members(builder.build("backend", "1.2.0", out=tmp_path).path)
    assert json.loads(files["release.json"]) == {
        "name": "backend",
        "version": "1.2.0",
        "kind": "python",
        "python": "3.11",
        "arch": "x86_64",
        "entry": "main:app",
    }
    assert {"app/main.py", "app/.env.example", "app/migrations/20261122_create_items.sql"} <= files.keys()
    assert files["app/build_info.py"].endswith(b'VERSION = "1.2.0"\nFAULT = "none"\n')
    pinned = set(re.findall(r"sha256:([0-9a-f]{64})", files["requirements.txt"].decode()))
    wheels = {hashlib.sha256(data).hexdigest() for name, data in files.items() if name.startswith("wheels/")}
    assert wheels == pinned
    assert b"://" not in files["requirements.txt"]


@pytest.mark.covers("FE-01")
def test_a_frontend_artefact_is_whole(tmp_path: Path) -> None:
    base = "https://api.example.test/api"
    files = members(builder.build("frontend", "2.0.0", api_base=base, out=tmp_path).path)
    assert json.loads(files["release.json"]) == {"name": "frontend", "version": "2.0.0", "kind": "static"}
    build_id = json.loads(files["dist/build.json"])["build"]
    page = files["dist/index.html"].decode()
    assert build_id.startswith("2.0.0-")
    assert f'content="{build_id}"' in page
    assert f'content="{base}"' in page
    assert "%" not in page
    named = re.findall(r'"/(assets/[^"]+)"', page)
    assert sorted(named) == sorted(name.removeprefix("dist/") for name in files if name.startswith("dist/assets/"))
    for name in named:
        assert hashlib.sha256(files[f"dist/{name}"]).hexdigest()[:8] == name.split(".")[-2]


def test_without_an_api_base_the_page_leaves_it_to_the_deploy(tmp_path: Path) -> None:
    page = members(builder.build("frontend", out=tmp_path).path)["dist/index.html"]
    assert b'<meta name="api-base" content="%VITE_API_BASE_URL%">' in page


@pytest.mark.parametrize("service", builder.SERVICES)
def test_ci_says_what_the_gates_ask_for(service: str, tmp_path: Path) -> None:
    ci = json.loads(members(builder.build(service, out=tmp_path).path)["ci.json"])
    assert re.fullmatch(r"[0-9a-f]{40}", ci.pop("commit"))
    assert ci["coverage"] >= 80
    assert ci == {**builder.CI, "coverage": ci["coverage"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["backend", "--fault", "fire"], "found fault 'fire' for backend, expected one of: none, health, crash, slow "),
        (["frontend", "--fault", "slow"], "found fault 'slow' for frontend, expected one of:"),
        (["api"], "found 'api', expected a system of inventories/, or a service of everydayai"),
        (["everydayai/api"], "found service 'api' of everydayai, expected one of: backend, frontend"),
        (["backend", "--version", "../1"], "found version '../1', expected one such as 1.2.0"),
        (["backend", "--version", "1.0"], "found version '1.0', expected one such as 1.2.0"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(words: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, str(builder.HERE / "build.py"), *words, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"build: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_that_is_not_what_is_pinned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h11-0.16.0-py3-none-any.whl").write_bytes(b"something else")
    monkeypatch.setattr(wheels, "_download", lambda *_: None)
    requirements = (builder.HERE / "backend" / "requirements.txt").read_text()
    with pytest.raises(builder.BuildError, match=r"11 of 11 pinned wheels are missing after the download"):
        wheels.fetch_wheels(requirements, tmp_path)


@pytest.mark.covers("FE-01")
def test_pinning_keeps_the_head_and_other_artefacts(tmp_path: Path) -> None:
    file = tmp_path / "releases.yaml"
    file.write_text("# yaml-language-server: $schema=x\n#\n# What hosts run.\n\nreleases: {}\n")
    first = builder.Built("backend", "1.0.0", Path("b-1.0.0.tar"), "a" * 64)
    second = builder.Built("backend", "1.1.0", Path("b-1.1.0.tar"), "b" * 64)
    front = builder.Built("frontend", "1.0.0", Path("f-1.0.0.tar"), "c" * 64)
    builder.pin([first], file)
    builder.pin([second, front], file)
    assert file.read_text().startswith("# yaml-language-server: $schema=x\n#\n# What hosts run.\n\nreleases:\n")
    assert yaml.safe_load(file.read_text())["releases"] == {
        "backend": {
            "version": "1.1.0",
            "artefacts": {
                "1.0.0": {"file": "b-1.0.0.tar", "sha256": "a" * 64},
                "1.1.0": {"file": "b-1.1.0.tar", "sha256": "b" * 64},
            },
        },
        "frontend": {"version": "1.0.0", "artefacts": {"1.0.0": {"file": "f-1.0.0.tar", "sha256": "c" * 64}}},
    }


def test_what_was_built_is_noted_so_that_it_can_be_removed_and_nothing_else(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.0.1", "1.0.0"):
        assert builder.main(["frontend", "--version", version, "--out", str(tmp_path)]) == 0
    check = ["sha256sum", "-c", "built"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert sorted(done.stdout.splitlines()) == [f"everydayai-frontend-1.0.{n}.tar: OK" for n in (0, 1)]
    (tmp_path / "everydayai-frontend-1.0.1.tar").write_text("somebody else's")
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = sorted(done.stdout.splitlines())
    assert said == ["everydayai-frontend-1.0.0.tar: OK", "everydayai-frontend-1.0.1.tar: FAILED"]
