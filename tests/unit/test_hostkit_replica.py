"""The host's script for a replica, as far as it goes without PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

KIT = Path(__file__).parents[2] / "templates/hostkit"


@pytest.mark.parametrize(
    ("data", "configured", "activated"),
    [(True, True, True), (False, True, False), (True, False, False), (False, False, False)],
)
def test_only_a_replica_with_its_own_files_is_activated(
    tmp_path: Path, data: bool, configured: bool, activated: bool
) -> None:
    """An empty cluster would run as a primary; where a first installation is put back, the server only has to stop."""
    kit, config, cluster = tmp_path / "kit", tmp_path / "etc/15/main/conf.d", tmp_path / "lib/15/main"
    for folder in (kit, config, cluster):
        folder.mkdir(parents=True)
    (kit / "common.sh").write_text((KIT / "common.sh").read_text())
    text = (KIT / "postgres-replica").read_text()
    for path, name in (("/etc/postgresql", "etc"), ("/var/lib/postgresql", "lib")):
        assert path in text
        text = text.replace(path, str(tmp_path / name))
    (kit / "postgres-replica").write_text(text)
    (kit / "postgres-control").write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/called\n')
    (kit / "postgres-control").chmod(0o755)
    if data:
        (cluster / "standby.signal").touch()
    if configured:
        (config / "60-replication.conf").touch()
    done = subprocess.run(
        ["bash", str(kit / "postgres-replica"), "15", "main", "activate", "restart"],
        env={**os.environ, "MAINSTAY_KIT": str(kit)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    called = tmp_path / "called"
    assert (called.read_text() if called.exists() else "") == ("15 main activate restart\n" if activated else "")
