"""pytest plugin of the verifications: hosts and roles come from an inventory, results can be read by a program.

    pytest tests/verify --inventory shop/staging
    pytest tests/verify --inventory shop/staging --hosts=shop-web-1

Without `--inventory` the plugin does nothing, so it may be installed beside any other test suite.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mainstay import inventory, ssh
from mainstay.errors import MainstayError
from mainstay.inventory import Environment, Host
from mainstay.secrets import mask
from mainstay.transport import root_shell
from mainstay.transport.memory import kind_of, recalled
from mainstay.tunnel import Tunnels

_ENVIRONMENT = pytest.StashKey[Environment]()
_FOLDER = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


@cache
def load(name: str, lab: str | None) -> Environment:
    """The environment `SYSTEM/ENV`; read once, for all runs that a process is forked into.

    Raises:
        MainstayError: it is not there, or not right.
    """
    system, _, env = name.partition("/")
    return inventory.load(system, env, lab=lab)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a verification."""
    group = parser.getgroup("mainstay")
    group.addoption("--inventory", metavar="SYSTEM/ENV", help="verify the hosts of this environment, by their roles")
    group.addoption("--mainstay-report", metavar="FILE", help="write one JSON line a check to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Loads the inventory and points testinfra at its hosts."""
    config.addinivalue_line("markers", "roles(*names): a verification that runs on hosts with one of these roles")
    config.addinivalue_line("markers", "waits: a verification of what takes its time after a start; it runs last")
    config.addinivalue_line("markers", "covers(*ids): the catalogue rows whose own acceptance check this test asserts")
    name = config.getoption("--inventory")
    if not name:
        return
    try:
        environment = load(name, inventory.lab_from_environment())
    except MainstayError as error:
        raise pytest.UsageError(str(error)) from error
    folder = tempfile.TemporaryDirectory(prefix="mainstay-verify-")
    config.stash[_ENVIRONMENT], config.stash[_FOLDER] = environment, folder
    config.option.ssh_config = str(_write_ssh_config(environment, Path(folder.name)))
    config.option.sudo = True
    there = [host.name for host in environment.hosts.values() if not environment.lacking(host)]
    chosen = config.option.hosts.split(",") if config.option.hosts else there
    config.option.hosts = ",".join(name if "://" in name else _spec(name) for name in chosen)
    what = sorted(Path(argument.partition("::")[0]).stem for argument in config.args)
    memory = recalled(environment, f"verify {' '.join(what)}")
    root_shell.register(
        memory, lambda name: kind_of(environment, name), lambda name: ssh.route(environment, environment.hosts[name])
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes what this run wrote."""
    folder = config.stash.get(_FOLDER, None)
    if folder is not None:
        root_shell.remember()
        folder.cleanup()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drops each check on hosts that have none of its roles: it does not apply there, which is not a skip.

    What waits for something goes last, when most of its time has passed with the other checks.
    """
    environment = config.stash.get(_ENVIRONMENT, None)
    if environment is None:
        return
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        (kept if _applies(item, environment) else dropped).append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = sorted(kept, key=lambda item: item.get_closest_marker("waits") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Writes the check's result where a program asked for it: `mainstay verify` reads it back."""
    report: Any = yield
    path = item.config.getoption("--mainstay-report")
    if path and (report.when == "call" or report.failed):
        row = {
            "host": _host_name(item) or "",
            "component": item.path.stem.removeprefix("test_"),
            "check": _sentence(item),
            "ok": report.passed,
            "reason": mask(_notes(report) if report.passed else _reason(report)),
            "seconds": round(report.duration, 3),
        }
        with Path(path).open("a") as out:
            out.write(json.dumps(row) + "\n")
    return report


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest) -> Environment:
    """The environment under verification."""
    try:
        return request.config.stash[_ENVIRONMENT]
    except KeyError:
        raise pytest.UsageError("a verification needs --inventory SYSTEM/ENV") from None


@pytest.fixture(scope="module")
def member(environment: Environment, _testinfra_host: Any) -> Host:
    """The model of the host under test."""
    return environment.hosts[_testinfra_host.backend.hostname]


@pytest.fixture(scope="session")
def reach(environment: Environment, request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Gives testinfra's host for another member, by host name or by role (the first that holds it)."""
    import testinfra

    def other(name_or_role: str) -> Any:
        members = environment.hosts_of(name_or_role)
        name = members[0].name if members else name_or_role
        return testinfra.get_host(_spec(name), ssh_config=request.config.option.ssh_config, sudo=True, ahead=False)

    return other


@pytest.fixture(scope="session")
def tunnels(environment: Environment) -> Iterator[Tunnels]:
    """Ways through hosts to servers beside them, for checks that speak a server's own language."""
    found = Tunnels(environment)
    yield found
    found.close()


def anew(host: Any) -> AbstractContextManager[None]:
    """For a check that waits: what it asks in here is asked now. Plain testinfra knows nothing else."""
    found: AbstractContextManager[None] = getattr(host.backend, "anew", nullcontext)()
    return found


def _spec(name: str) -> str:
    return f"{root_shell.SCHEME}://{name}"


def _applies(item: pytest.Item, environment: Environment) -> bool:
    name = _host_name(item)
    marker = item.get_closest_marker("roles")
    if name is None or marker is None:
        return True
    return bool(set(marker.args) & set(environment.hosts[name].roles))


def _host_name(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    host = callspec.params.get("_testinfra_host") if callspec else None
    return str(host.backend.hostname) if host is not None else None


def _sentence(item: pytest.Item) -> str:
    """`test_listens_on_443[ssh://web-1-port]` reads `listens on 443`, with what else it was parametrized by."""
    function = getattr(item, "originalname", None) or item.name
    callspec = getattr(item, "callspec", None)
    others = {k: v for k, v in (callspec.params if callspec else {}).items() if k != "_testinfra_host"}
    words = str(function).removeprefix("test_").replace("_", " ")
    return f"{words} ({', '.join(str(value) for value in others.values())})" if others else words


def _notes(report: pytest.TestReport) -> str:
    """What a check that passes still wants read: `record_property("note", sentence)`."""
    return "; ".join(str(value) for name, value in report.user_properties if name == "note")


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(crash.message if crash else report.longrepr).strip().splitlines()
    return lines[0] if lines else "no reason given"


def _write_ssh_config(environment: Environment, folder: Path) -> Path:
    path = folder / "ssh_config"
    path.write_text("".join(ssh.config_block(environment, host) for host in environment.hosts.values()))
    path.chmod(0o600)
    return path
