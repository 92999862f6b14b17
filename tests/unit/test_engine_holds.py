"""Holds as a plan reads them from its hosts."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from mainstay.engine import holds
from mainstay.engine.holds import Hold
from mainstay.errors import HostError
from mainstay.fleet import Fleet

HOLD = Hold("shop", "1.2.0", "1.1.0", "alex", "2026-11-26T10:00:00Z", "it lost requests")


def test_holds_are_read_from_every_host_that_answers(tmp_path: Path) -> None:
    """What is no hold is none; a host that is gone has said so elsewhere."""
    folder = tmp_path / "holds"
    folder.mkdir()
    (folder / "shop.json").write_text(json.dumps(asdict(HOLD)) + "\n")
    (folder / "whole.json").write_text(json.dumps(asdict(HOLD) | {"service": "site"}))
    (folder / "half.json").write_text('{"service": "half", "ver')
    (folder / "list.json").write_text("[1]\n")
    (folder / "other.json").write_text('{"service": "other"}\n')

    def shell(name: str, command: str, *, stdin: str, timeout: float) -> str:
        if name == "gone":
            raise HostError(name, "the connection broke")
        asked = command.replace("/var/lib/mainstay/holds", str(folder if name == "full" else tmp_path / "none"))
        return subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=True).stdout

    fleet = cast(Fleet, SimpleNamespace(shell=shell))
    assert {hold.service for hold in holds.read(fleet, ["full", "empty", "gone"])} == {"shop", "site"}
    assert holds.read(fleet, ["empty"]) == []
