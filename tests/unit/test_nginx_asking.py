"""What nginx is asked by verifications: commands that a shell runs, and answers taken apart."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.nginx import asking

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30)
NAME = st.from_regex(r"[A-Za-z][A-Za-z-]{0,12}", fullmatch=True)


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(NAME.map(str.lower), LINE.map(str.strip), max_size=4),
    body=st.lists(LINE).map("\n".join),
)
def test_an_answer_is_what_was_sent(status: int, headers: dict[str, str], body: str) -> None:
    head = "".join(f"{key.title()}: {value}\r\n" for key, value in headers.items())
    found = asking.answer(f"HTTP/1.1 {status}\r\n{head}\r\n{body}")
    assert (found.status, found.headers, found.body) == (status, headers, body)


@pytest.mark.parametrize("said", ["", "curl: (7) Failed to connect", "HTTP/1.1"])
def test_what_is_no_answer_is_not_taken_for_one(said: str) -> None:
    with pytest.raises(ValueError, match="expected HTTP's status line"):
        asking.answer(said)


def test_requests_side_by_side_are_told_apart(tmp_path: Path) -> None:
    """By a shell, with a program in curl's place that answers after a while and writes the log as nginx would."""
    log = tmp_path / "access.log"
    log.write_text("of somebody else\n")
    fake = tmp_path / "fake"
    fake.write_text(f'#!/bin/sh\nsleep 0.$1; echo "HTTP/1.1 20$1"; echo; echo "of $1"; echo "$1 $3" >> {log}\n')
    fake.chmod(0o755)
    command = asking.together([f"{fake} {at}" for at in (3, 1, 2)])
    command = re.sub(re.escape(asking.ACCESS_LOG), str(log), command)
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    told = asking.told_apart(said.stdout)
    assert [asking.answer(text).status for text, _ in told] == [203, 201, 202]
    assert [asking.answer(text).body for text, _ in told] == ["of 3\n", "of 1\n", "of 2\n"]
    assert [[line.split()[0] for line in lines] for _, lines in told] == [["3"], ["1"], ["2"]]
    assert not list(Path("/tmp").glob(f"{said.stdout.split(' ', 1)[0]}*")), "the folder of the answers is left"
