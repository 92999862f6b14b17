"""Which services a system has, as its inventory describes them, and how each is built and pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workload import build as builder
from workload import golang, nodejs

SYSTEM = "shop"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose one system has a service of each kind, what Go services share said once."""
    folder = tmp_path / "inventories" / SYSTEM
    folder.mkdir(parents=True)
    described = {
        "system": SYSTEM,
        "service_defaults": {"kind": "go", "exec": "bin/orders --port {port}"},
        "services": {
            "site": {"kind": "static", "role": "web"},
            "orders": {"port": 8081},
            "basket": {"kind": "node", "exec": "/usr/bin/node {entry} --port {port}", "entry": "dist/server.js"},
            "ml": {
                "kind": "python",
                "role": "ml",
                "exec": "venv/bin/uvicorn {entry} --port {port}",
                "entry": "service.app:application",
            },
        },
    }
    (folder / "system.yaml").write_text(yaml.safe_dump(described))
    (folder / "releases.yaml").write_text("# Head.\n\nreleases: {}\n")
    for module in ("workload.described", "workload.build"):
        monkeypatch.setattr(f"{module}.PROJECT", tmp_path)
    return tmp_path


def test_a_system_is_built_and_pinned_whole(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert builder.main([SYSTEM, "--pin", "--out", str(shop / "out")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    pinned = yaml.safe_load((shop / "inventories" / SYSTEM / "releases.yaml").read_text())["releases"]
    assert sorted(pinned) == ["basket", "ml", "orders", "site"]
    for name, release in pinned.items():
        artefact = release["artefacts"]["1.0.0"]
        assert artefact["file"] == f"shop-{name}-1.0.0.tar"
        assert (shop / "out" / artefact["file"]).is_file()


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ({"a": {"kind": "go", "exec": "/usr/bin/a --port {port}"}}, "shop/a: found /usr/bin/a, expected a program of"),
        ({"a": {"kind": "go"}}, "shop/a: found no exec, expected a program of the release, such as bin/server"),
        (
            {"a": {"kind": "node", "entry": "../a.js"}},
            "shop/a: found ../a.js, expected an entry such as dist/server.js",
        ),
        (
            {"a": {"kind": "python", "exec": "venv/bin/gunicorn", "entry": "a:b"}},
            "shop/a: found venv/bin/gunicorn a:b,",
        ),
        ([], "inventories/shop/system.yaml: found no services, expected an inventory"),
        ({"a": 1}, "inventories/shop/system.yaml: found no services, expected an inventory"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(
    shop: Path, capsys: pytest.CaptureFixture[str], services: Any, message: str
) -> None:
    (shop / "inventories" / SYSTEM / "system.yaml").write_text(yaml.safe_dump({"services": services}))
    assert builder.main([SYSTEM, "--out", str(shop / "out")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"build: {message}")
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_without_a_compiler_or_npm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    golang.program.cache_clear()
    nodejs.modules.cache_clear()
    monkeypatch.setattr(nodejs, "ARTEFACTS", tmp_path)
    with pytest.raises(builder.BuildError, match=r"found no Go compiler .* expected Debian's golang-go, golang-github"):
        golang.program()
    with pytest.raises(builder.BuildError, match=r"found no npm, expected Debian's nodejs and npm"):
        nodejs.modules()
