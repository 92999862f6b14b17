"""What every command line answers before it does anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mainstay import __version__

BIN = Path(__file__).parents[2] / "bin"


def test_version_is_printed_without_a_verb() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("script", ["demo", "test", "check", "clean"])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_scripts_say_what_they_do_and_do_nothing_when_asked(script: str, option: str) -> None:
    """A demo that was asked for help once began to roll out."""
    done = subprocess.run([BIN / script, option], capture_output=True, text=True, check=False, timeout=10)
    first = (BIN / script).read_text().splitlines()[1].removeprefix("# ")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(first)


@pytest.mark.parametrize("script", ["demo", "clean"])
def test_scripts_refuse_what_they_do_not_know(script: str) -> None:
    done = subprocess.run([BIN / script, "--frehs"], capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 2
    assert done.stderr.startswith("mainstay: found --frehs, expected --")
