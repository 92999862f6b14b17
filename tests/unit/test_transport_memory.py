"""What is remembered of questions: this user's own, unchanged, of this version; anything else counts as nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainstay
from mainstay.transport.memory import Memory
from mainstay.transport.shell import Question

ASKED = [Question("cat /etc/hostname"), Question("systemctl is-active nginx", limit=5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "questions"


def file_of(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


def kept(folder: Path) -> Path:
    Memory(folder, "tchat site.py").keep({"web-1": ASKED})
    return file_of(folder)


def read(folder: Path, host: str = "web-1", purpose: str = "tchat site.py") -> list[Question]:
    return Memory(folder, purpose).of(host)


@given(commands=st.lists(st.tuples(st.text(), st.floats(0.1, 1000))))
def test_what_is_kept_comes_back(commands: list[tuple[str, float]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("memory")
    questions = [Question(text, limit) for text, limit in commands]
    Memory(folder, "p").keep({"h": questions})
    assert Memory(folder, "p").of("h") == questions


def test_nobody_else_can_read_it(folder: Path) -> None:
    kept(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_other_hosts_stay_and_other_purposes_are_apart(folder: Path) -> None:
    kept(folder)
    Memory(folder, "tchat site.py").keep({"web-2": ASKED[:1], "with roles web": ASKED[1:]})
    assert (read(folder), read(folder, "web-2")) == (ASKED, ASKED[:1])
    assert Memory(folder, "tchat site.py").of("web-3", "with roles web") == ASKED[1:]
    assert read(folder, purpose="tchat release.py") == []


KEEPS = """
import sys
from pathlib import Path
from mainstay.transport.memory import Memory
from mainstay.transport.shell import Question
sys.stdin.readline()
for number in range(5):
    Memory(Path(sys.argv[1]), "tchat site.py").keep({f"{sys.argv[2]}-{number}": [Question("true")] * 500})
"""


def test_what_processes_keep_at_the_same_time_all_stays(folder: Path) -> None:
    """Those of one verification end together."""
    argv = [sys.executable, "-c", KEEPS, str(folder)]
    started = [subprocess.Popen([*argv, name], stdin=subprocess.PIPE, text=True) for name in "abcd"]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait(60) for process in started] == [0] * 4
    memory = Memory(folder, "tchat site.py")
    assert [name for name in "abcd" for number in range(5) if not memory.of(f"{name}-{number}")] == []


def test_a_changing_command_that_somebody_wrote_into_it_is_not_asked(folder: Path) -> None:
    path = kept(folder)
    path.write_text(path.read_text().replace("cat /etc/hostname", "rm -rf /srv"))
    assert read(folder) == []


def test_a_file_of_another_purpose_is_not_taken_for_this_one(folder: Path) -> None:
    path = kept(folder)
    text = path.read_text()
    Memory(folder, "other").keep({"web-1": []})
    for other in folder.glob("*.json"):
        other.write_text(text)
    assert read(folder, purpose="other") == []
    assert read(folder) == ASKED


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"form": 1}', '{"form": 1, "signed": 3, "questions": []}', "[" * 100_000, "\0\xff"]
)
def test_a_damaged_file_counts_as_none_and_is_written_anew(folder: Path, text: str) -> None:
    kept(folder).write_text(text)
    assert read(folder) == []
    Memory(folder, "tchat site.py").keep({"web-1": ASKED})
    assert read(folder) == ASKED


def test_a_file_cut_short_counts_as_none(folder: Path) -> None:
    path = kept(folder)
    path.write_text(path.read_text()[:-20])
    assert read(folder) == []


def test_a_file_of_another_version_counts_as_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(folder)
    monkeypatch.setattr(mainstay, "__version__", "99.0.0")
    assert read(folder) == []


def test_a_file_that_others_can_read_counts_as_none(folder: Path) -> None:
    kept(folder).chmod(0o644)
    assert read(folder) == []


def test_a_link_counts_as_none(folder: Path, tmp_path: Path) -> None:
    path = kept(folder)
    moved = path.rename(tmp_path / "elsewhere")
    path.symlink_to(moved)
    assert read(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_counts_as_none(folder: Path) -> None:
    os.chown(kept(folder), 65534, 65534)
    assert read(folder) == []


def test_another_laptop_s_key_does_not_open_it(folder: Path) -> None:
    kept(folder)
    (folder / "key").unlink()
    assert read(folder) == []


def test_a_folder_that_cannot_be_made_is_no_memory_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / "questions", "p")
    memory.keep({"h": ASKED})
    assert memory.of("h") == []


def test_too_many_questions_are_not_kept(folder: Path) -> None:
    Memory(folder, "p").keep({"h": [Question(f"echo {n}") for n in range(6000)]})
    assert Memory(folder, "p").of("h") == []


def test_answers_are_never_in_it(folder: Path) -> None:
    document = json.loads(kept(folder).read_text())
    assert set(document) == {"form", "signed", "questions"}
    assert json.loads(document["questions"]) == {"web-1": [[q.command, q.limit] for q in ASKED]}
