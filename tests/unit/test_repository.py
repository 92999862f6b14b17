"""No secret in the tree, whatever a file is called: the whole of what git has, and what git must leave alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mainstay.inventory import ENVIRONMENTS
from tests.unit.inventories import SYSTEMS

ROOT = Path(__file__).parents[2]
# What a key looks like whose format is its own. Values without one are caught by the model: a variable whose name ends
# like a secret's is refused as plain text (EV-09).
KEYS = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}|AGE-SECRET-KEY-1[0-9A-Z]{50,}|\bAKIA[0-9A-Z]{16}\b|"
    rb"\bLTAI[0-9A-Za-z]{12,20}\b|\bghp_[0-9A-Za-z]{36}\b|\bsk-(?:live-|proj-)?[0-9A-Za-z_-]{32,}|"
    rb"\beyJ[0-9A-Za-z_-]{20,}\.eyJ[0-9A-Za-z_-]{20,}\.[0-9A-Za-z_-]{20,}"
)


def planted(folder: Path) -> list[str]:
    """The files of a git folder that hold a key."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, check=True).stdout.decode()
    files = [folder / name for name in names.split("\0") if name and (folder / name).is_file()]
    return [str(path.relative_to(folder)) for path in files if KEYS.search(path.read_bytes())]


@pytest.mark.covers("DP-06", "EV-09")
def test_the_tree_holds_no_key() -> None:
    assert planted(ROOT) == []


@pytest.mark.covers("DP-06")
@pytest.mark.parametrize(
    "key",
    [
        "AGE-" + "SECRET-KEY-1" + "Q" * 58,
        "AKIA" + "A" * 16,
        "LTAI" + "b" * 16,
        "sk-" + "a" * 40,
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAA",
    ],
    ids=["age", "aws", "aliyun", "sk", "ssh"],
)
def test_a_planted_key_is_found(tmp_path: Path, key: str) -> None:
    inventory = tmp_path / "inventories" / "shop" / "system.yaml"
    inventory.parent.mkdir(parents=True)
    inventory.write_text(f"system: shop\nnote: {key}\n")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert planted(tmp_path) == ["inventories/shop/system.yaml"]


@pytest.mark.covers("EV-09")
def test_git_leaves_secrets_alone() -> None:
    for name in [f"inventories/{system}/secrets.{env}.yaml" for system in SYSTEMS for env in ENVIRONMENTS]:
        done = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False)
        assert done.returncode == 0, name


def test_bin_test_runs_again_where_its_files_are_left_from_the_last_time() -> None:
    """Before it knows an option, pytest takes the word behind it for tests to run, where such a file is there."""
    text = (ROOT / "bin" / "test").read_text()
    options = re.findall(r"--(?:coverage-page|claims-out|claims-in)(.)", text)
    assert len(options) == 3 and set(options) == {"="}, options
