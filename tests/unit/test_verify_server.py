"""The process that verifications are forked from: each run on its own, whatever came before it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.verify_server import Request, Server

PASSES, FAILS = "def test_one():\n    pass\n", "def test_one():\n    assert 1 == 2\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.start().kill()


def request(folder: Path, *tests: str, **variables: str) -> Request:
    """One run a test; none of them knows an inventory."""
    runs = []
    for number, text in enumerate(tests):
        path = folder / f"test_{number}.py"
        path.write_text(text)
        arguments = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-c", os.devnull, str(path)]
        runs.append((arguments, str(folder / f"{number}.txt")))
    own = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    return Request("nobody/nowhere", runs, own, str(folder))


def test_codes_come_in_the_order_of_the_runs_and_output_goes_to_files(server: Server, tmp_path: Path) -> None:
    assert server.run(request(tmp_path, PASSES, FAILS, "import not_there\n")) == [0, 1, 2]
    assert "1 passed" in (tmp_path / "0.txt").read_text()
    assert "assert 1 == 2" in (tmp_path / "1.txt").read_text()
    assert "not_there" in (tmp_path / "2.txt").read_text()


def test_a_request_sees_its_own_variables_and_folder_and_nothing_of_the_one_before(
    server: Server, tmp_path: Path
) -> None:
    asks = (
        "import os, sys\n\n\ndef test_one():\n"
        f"    assert os.environ.get('WHO') == {{who!r}} and os.getcwd() == {str(tmp_path)!r}\n"
        "    assert not hasattr(sys, 'stain')\n    sys.stain = True\n"
    )
    assert server.run(request(tmp_path, asks.format(who="anna"), WHO="anna")) == [0]
    assert server.run(request(tmp_path, asks.format(who=None))) == [0]


def test_a_run_that_is_killed_says_by_what(server: Server, tmp_path: Path) -> None:
    kills = "import os\n\n\ndef test_one():\n    os.kill(os.getpid(), 9)\n"
    assert server.run(request(tmp_path, kills, PASSES)) == [-signal.SIGKILL, 0]


def test_a_request_that_cannot_begin_is_an_error_and_the_next_one_works(server: Server, tmp_path: Path) -> None:
    lost = request(tmp_path, PASSES)
    with pytest.raises(OSError, match="could not start its runs"):
        server.run(Request(lost.inventory, lost.runs, lost.variables, str(tmp_path / "not there")))
    assert server.run(lost) == [0]


def test_runs_that_lose_the_one_who_waits_for_them_are_an_error(server: Server, tmp_path: Path) -> None:
    kills = "import os\n\n\ndef test_one():\n    os.kill(os.getppid(), 9)\n"
    with pytest.raises(OSError, match="could not start its runs"):
        server.run(request(tmp_path, kills))
    assert server.run(request(tmp_path, PASSES)) == [0]


def test_after_a_server_that_is_gone_another_one_comes(tmp_path: Path) -> None:
    server = Server()
    one = server.start()
    one.kill()
    one.wait()
    assert server.run(request(tmp_path, PASSES)) == [0]
    server.start().kill()


def test_what_is_prepared_has_collected_and_checks_nothing_before_the_word(server: Server, tmp_path: Path) -> None:
    collected, checked = tmp_path / "collected", tmp_path / "checked"
    marks = f"open({str(collected)!r}, 'w').close()\n\n\ndef test_one():\n    open({str(checked)!r}, 'w').close()\n"
    server.prepare(request(tmp_path, marks))
    wait_for(collected)
    time.sleep(0.2)
    assert not checked.exists()
    assert server.go() == [0]
    assert checked.exists()


def test_what_is_dropped_checks_nothing_and_does_not_hold_up_the_next(server: Server, tmp_path: Path) -> None:
    checked = tmp_path / "checked"
    marks = f"def test_one():\n    open({str(checked)!r}, 'w').close()\n"
    server.prepare(request(tmp_path, marks))
    server.prepare(request(tmp_path, marks, marks))
    assert server.run(request(tmp_path, FAILS)) == [1]
    assert not checked.exists()


def test_what_was_prepared_by_a_server_that_is_gone_is_an_error_and_the_next_one_works(tmp_path: Path) -> None:
    server = Server()
    server.prepare(request(tmp_path, PASSES))
    server.start().kill()
    with pytest.raises(OSError, match=r"ended|Broken pipe"):
        server.go()
    assert server.run(request(tmp_path, PASSES)) == [0]
    server.start().kill()


def test_runs_end_with_a_server_that_is_killed_while_they_wait(tmp_path: Path) -> None:
    server = Server()
    number = tmp_path / "number"
    server.prepare(request(tmp_path, f"import os\n\nopen({str(number)!r}, 'w').write(str(os.getpid()))\n\n{PASSES}"))
    wait_for(number)
    server.start().kill()
    run = Path("/proc") / number.read_text()
    deadline = time.monotonic() + 10
    while run.exists() and "Z" not in (run / "stat").read_text().split()[2] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not run.exists()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and (path.stat().st_size or path.name != "number")):
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.02)


def test_a_command_that_ends_before_the_word_leaves_nothing_said(tmp_path: Path) -> None:
    """Ctrl-C while hosts change: what was prepared ends without a traceback on the operator's terminal."""
    one = request(tmp_path, PASSES)
    script = (
        "import time; from mainstay.verify_server import Request, Server\n"
        "server = Server()\n"
        f"server.prepare(Request({one.inventory!r}, {one.runs!r}, {one.variables!r}, {one.folder!r}))\n"
        "time.sleep(2)\n"
    )
    # Its end waits for whoever holds its standard error: the server and its runs too.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
