"""What all tests of real hosts share. One lab a worker, booted once; hosts rolled out once.

lab        the worker's lab, its name: taken down before and after, so that a crash leaves nothing behind
origin     a laptop with the shipped system and secrets of its own
laptop     a copy for one test, whose project may be changed freely; the system's hosts are booted
staging    staging of the system, rolled out once a worker; a test that takes it leaves it as it found it
bare       hosts that nothing was ever installed on, in a lab of their own, for one module
behind     staging without its web host, converged from bare once a worker; a test leaves it as it found it
bench      one host at a time, planned, applied and broken by hand (tests/lab/bench.py)
watch      a small system that is watched, converged from bare by one apply (tests/lab/watched.py)
tiny_system  the small system of fixtures/tiny
ground     hosts with nothing but base, of fixtures/ground
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import ground as grounds
from tests.lab import laptop as laptops
from tests.lab import releases, tiny, watched
from tests.lab.bench import Bench
from tests.lab.laptop import SYSTEM, Done, Laptop
from tests.lab.releases import Stage
from tests.lab.watched import Watched

STAGING = (SYSTEM, "--env", "staging")


# What bin/test runs; the other files of this folder are `extended` and run with `bin/test --all`. So does
# `test_release_load`: its seconds are not the product's where another worker has the second core.
CORE = {"test_bad_input", "test_base", "test_deadman", "test_lab", "test_main_job", "test_rollout"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what only `--all` runs; `--dist loadfile` keeps a file on one worker, so that its hosts are made once."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.path.stem not in CORE:
            item.add_marker(pytest.mark.extended)


def _name() -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return "-".join(filter(None, (os.environ.get("MAINSTAY_LAB", "bintest"), worker)))


def _down(laptop: Laptop) -> None:
    done = laptop.mainstay("lab", "down")
    assert done.code == 0, done.text


def _up(laptop: Laptop, *words: str) -> None:
    done = laptop.mainstay("lab", "up", *words)
    assert done.code == 0, done.text


@pytest.fixture(scope="session")
def lab() -> str:
    """The name of this worker's lab."""
    return _name()


@pytest.fixture(scope="session")
def origin(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """The laptop that every other of this worker is a copy of."""
    return laptops.new(tmp_path_factory.mktemp("laptop"), lab)


@pytest.fixture(scope="session")
def booted(origin: Laptop) -> Iterator[None]:
    """The hosts of both environments, as an image leaves them until a test rolls something out."""
    _down(origin)
    _up(origin, SYSTEM)
    yield
    _down(origin)


@pytest.fixture
def laptop(origin: Laptop, booted: None, tmp_path: Path) -> Laptop:
    """A laptop for one test."""
    return origin.copy(tmp_path / "laptop")


@pytest.fixture
def project(laptop: Laptop) -> Path:
    """The folder of that laptop's project."""
    return laptop.project


@pytest.fixture
def mainstay(laptop: Laptop) -> Callable[..., Done]:
    """The real command on that laptop."""
    return laptop.mainstay


@pytest.fixture(scope="session")
def staging(origin: Laptop, booted: None) -> list[str]:
    """Staging, rolled out and verified; the names of its hosts."""
    done = origin.mainstay("rollout", SYSTEM, "--env", "staging", "--json")
    assert done.code == 0, done.text
    return [name for batch in done.json["environments"][0]["batches"] for name in batch["hosts"]]


@pytest.fixture(scope="module")
def bare(origin: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A laptop whose lab has staging's hosts as an image leaves them, and the secrets of `origin`."""
    laptop = origin.copy(tmp_path_factory.mktemp("bare"), f"{origin.lab}-bare")
    _down(laptop)
    _up(laptop, *STAGING)
    yield laptop
    _down(laptop)


@pytest.fixture(scope="module")
def bench(origin: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Staging's hosts, bare, one at a time."""
    laptop = origin.copy(tmp_path_factory.mktemp("bench"), f"{origin.lab}-bench")
    _down(laptop)
    _up(laptop, *STAGING)
    yield Bench(laptop.project, laptop.lab, laptop.identity)
    _down(laptop)


@pytest.fixture(scope="session")
def behind(origin: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """What is behind staging's web host: database, cache and the services, one apply each from bare."""
    laptop = origin.copy(tmp_path_factory.mktemp("behind"), f"{origin.lab}-behind")
    _down(laptop)
    _up(laptop, *STAGING, "--hosts", ",".join([releases.DB, releases.CACHE, releases.APP]))
    stage = releases.of(laptop)
    stage.converge(releases.DB, releases.CACHE, releases.APP)
    yield stage
    _down(laptop)


@pytest.fixture(scope="session")
def tiny_system(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tiny.Tiny]:
    """The small system of `fixtures/tiny` on four hosts of a lab of its own."""
    folder = tmp_path_factory.mktemp("tiny")
    system = tiny.new(folder / "project", folder / "laptop", f"{lab}-tiny")
    system.outside("down")
    system.outside("up", "tiny")
    yield system
    system.outside("down")


@pytest.fixture(scope="session")
def watch(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The system of `fixtures/watched`; what its receivers are told is kept. A test leaves it as it found it."""
    folder = tmp_path_factory.mktemp("watched")
    with pytest.MonkeyPatch.context() as patch:  # for the secrets alone: other systems have identities of their own
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(folder / "identity.txt"))
        made = watched.new(folder, f"{lab}-watched")
    for words in (["lab", "down"], ["lab", "up", "watched", "--env", "staging"], ["apply", made.target]):
        if words[0] == "apply":
            made.listen()  # before there is anything to tell: what nobody took is a failed check for five minutes
        done = made.mainstay(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    yield made
    assert made.mainstay("lab", "down").returncode == 0


@pytest.fixture(scope="module")
def ground(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grounds.Ground]:
    """The system of `fixtures/ground` on hosts of a lab of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_OPERATOR", "alex")
        ground = grounds.new(tmp_path_factory.mktemp("ground") / "project", f"{lab}-ground")
        ground.outside("down")
        ground.outside("up", "ground")
        yield ground
        ground.outside("down")
