"""A clock that steps in mid-command, by hand or by NTP: no limit fires for it, and none waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.bench import ROOT

HOUR = 3600


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_limits_hold_whatever_the_clocks_of_laptop_and_host_do(step: int, tmp_path: Path) -> None:
    """Both sides run under libfaketime, whose clock is moved by an hour while commands run."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    file = tmp_path / "clock"
    file.write_text("+0\n")
    own = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}
    # A step moves the clock of the day alone.
    own["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab.clock", str(step), str(file)],
        cwd=ROOT, env=os.environ | own, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert abs(found["here"] - step) < 5 and abs(found["there"] - step) < 15, "the clocks did step"
    said, seconds = found["quick"]
    assert said == "done\n" and 1.5 < seconds < 4, found
    said, seconds = found["hanging"]
    assert said == "took longer than 4 s" and 3.5 < seconds < 8, found
    said, seconds = found["change"]
    assert said and seconds < 10, found
    assert found["known"][0] == "still", "believed for a minute of seconds that pass"
