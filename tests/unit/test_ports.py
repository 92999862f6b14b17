"""Which ports answer: real sockets on loopback; a full queue drops, as a firewall does."""

import json
import socket
import subprocess
import time

import pytest

from mainstay import ports
from mainstay.ports import Question


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def silent():
    """A queue that is full: the kernel drops what comes after."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        held = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            held.append(one)
        time.sleep(0.1)
        yield port
        for one in held:
            one.close()


def timed(question):
    started = time.monotonic()
    return ports.ask(question), time.monotonic() - started


def test_what_listens_and_what_refuses_answers(listening, refusing, silent):
    assert ports.ask(Question("127.0.0.1", [listening], [refusing, silent])) == {listening, refusing}


def test_others_are_waited_for_as_long_as_the_expected_took_and_at_least_a_little(listening, silent):
    found, seconds = timed(Question("127.0.0.1", [listening], [silent]))
    assert found == {listening}
    assert ports.LEAST_S <= seconds < ports.MOST_S - 0.5


@pytest.mark.parametrize("expected", [True, False])
def test_an_expected_port_is_waited_for_and_so_are_others_where_none_is_expected(silent, expected):
    found, seconds = timed(Question("127.0.0.1", [silent] if expected else [], [] if expected else [silent]))
    assert found == set()
    assert seconds >= ports.MOST_S


def test_another_host_is_asked_by_a_command(listening, refusing, silent):
    questions = [Question("127.0.0.1", [listening], [silent]), Question("127.0.0.1", [], [refusing])]
    done = subprocess.run(["sh", "-c", ports.command(questions)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[listening], [refusing]]


def test_another_host_waits_for_all_questions_at_once(listening, silent):
    questions = [Question("127.0.0.1", [listening], [silent])] * 4
    started = time.monotonic()
    done = subprocess.run(["sh", "-c", ports.command(questions)], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == [[listening]] * 4
    assert time.monotonic() - started < 4 * ports.LEAST_S
