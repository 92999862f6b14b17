"""A small system in a project of its own, and `mainstay secrets` run on it as an operator runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TARGET = "shop/staging"
Run = Callable[..., subprocess.CompletedProcess[str]]

SYSTEM = """\
system: shop
description: a shop
domain: shop.test
operators: {alex: {keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOcX3/MmvmxObUHvoXbu3t62HhP4D571vVZuxAZwTet3 alex]}}
services:
  api:
    kind: python
    port: 8000
    slots: {blue: 18000, green: 28000}
    exec: venv/bin/uvicorn main:app --port {port}
    limits: {memory_max: 64M}
    health: [{path: /health}]
    env_vars:
      JWT_SECRET_KEY: {secret: JWT_SECRET_KEY, min_len: 32}
      COOKIE_KEY: {secret: COOKIE_KEY}
      MAP_API_KEY: {secret: MAP_API_KEY}
contacts: {security: security@shop.test}
secrets:
  rotation_days: 92
  generators:
    JWT_SECRET_KEY: {encoding: base64, bytes: 64, min_chars: 88}
    COOKIE_KEY: {encoding: hex, bytes: 32}
    MAP_API_KEY: {prefix: map-, encoding: hex, bytes: 16}
  issued: [MAP_API_KEY]
"""
HOSTS = "hosts: {shop-app-1: {address: %s, roles: [app], memory: 1G, cores: 1, disk: 10G}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "inventories" / "shop"
    folder.mkdir(parents=True)
    (folder / "system.yaml").write_text(SYSTEM)
    (folder / "releases.yaml").write_text("releases: {}\n")
    for env, address in (("staging", "192.0.2.21"), ("production", "198.51.100.21")):
        (folder / f"{env}.yaml").write_text(HOSTS % address)
    return tmp_path / "project"


@pytest.fixture
def environ(project: Path, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(PROJECT / "src"),
        "MAINSTAY_PROJECT": str(project),
        "MAINSTAY_AGE_IDENTITY": str(tmp_path / "identity.txt"),
    }


@pytest.fixture
def run(project: Path, environ: dict[str, str]) -> Run:
    def call(*words: str, stdin: str | bytes = "", **more: str) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-m", "mainstay", "secrets", *words],
            input=data, capture_output=True, check=False, cwd=project, env={**environ, **more}, timeout=60,
        )  # fmt: skip
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return call


@pytest.fixture
def filled(run: Run) -> Run:
    assert run("generate", TARGET, "--stand-ins").returncode == 0
    return run


def store_file(project: Path, env: str = "staging") -> Path:
    return project / "inventories" / "shop" / f"secrets.{env}.yaml"


def editor(tmp_path: Path, body: str) -> str:
    """A program that edits as an operator would; gets the file as its argument."""
    script = tmp_path / "editor.py"
    script.write_text(f"import os, sys, stat, re, time\npath = sys.argv[1]\ntext = open(path).read()\n{body}\n")
    return f"{sys.executable} {script}"


def blocks(file: Path) -> dict[str, str]:
    parts = re.split(r"^  (?=[A-Z])", file.read_text(), flags=re.MULTILINE)[1:]
    return {part.partition(":")[0]: part.rstrip("\n") for part in parts}
