"""What `slots.deployed` sends to a host, by what runs there; and the files of a service."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deploys.components.service.deployment import Deployment, env_text
from deploys.components.service.files import deployment, files
from deploys.operations import service_user, slots
from facts.files import FileState, FileStates
from facts.service import Account, Instance, ServiceUser, Slots, SlotsState, parse_slots
from mainstay.errors import InventoryError
from mainstay.inventory import Environment
from tests.plan.harness import Planned, plan
from tests.plan.systems import pinned, project
from tests.unit.inventories import Edit

APP = "eai-app-1"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return project(tmp_path, monkeypatch)


def backend(environment: Environment) -> Deployment:
    return deployment(environment, environment.hosts[APP], environment.services["backend"])


def settled(environment: Environment, slot: str = "blue", **changes: Any) -> dict[type, Any]:
    """The facts of a host on which everything is as the environment says, with `changes` to its slots' state."""
    wanted, resolve = backend(environment), environment.secrets.resolve
    parts = wanted.parts(resolve)
    held = json.loads(wanted.slot_text(slot, resolve))
    running = {port: Instance(active=True, enabled=True) for port in wanted.ports[slot]}
    values = {"active": slot, "current": wanted.version, "slots": {slot: held}, "instances": running}
    (nginx,), slot_file = wanted.nginx_files(slot).files, wanted.slot_file(slot, resolve)
    states = {
        wanted.env_path: FileState("root", wanted.user, 0o640, parts["environment"]),
        wanted.unit_path: FileState("root", "root", 0o644, parts["unit"]),
        nginx.path: FileState("root", "root", 0o600, nginx.digest(resolve)),
        slot_file.path: FileState("root", "root", 0o600, slot_file.digest(resolve)),
    }
    return {
        Slots: SlotsState(**values | changes),
        FileStates: lambda paths, folders=(): {path: states[path] for path in paths if path in states},
    }


def planned(environment: Environment, facts: dict[type, Any], run: str | None = "r1") -> Planned:
    member = environment.hosts[APP]
    return plan(slots.deployed, backend(environment), environment=environment, member=member, facts=facts, run=run)


def sent(result: Planned) -> dict[str, str]:
    """The members of the tar that goes to `switch`."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(result.stdin[0]))) as tar:
        return {name: tar.extractfile(name).read().decode() for name in tar.getnames()}  # type: ignore[union-attr]


def test_a_bare_host_gets_the_blue_slot(root: Path) -> None:
    result = planned(pinned(root), {Slots: SlotsState()})
    assert result.commands == ["base64 -d | /usr/local/lib/mainstay/switch r1"]
    assert result.said == "backend: blue (ports 18000): first release"
    assert "slot=blue\n" in sent(result)["spec"]


def test_nothing_to_do_is_nothing_sent(root: Path) -> None:
    environment = pinned(root)
    assert planned(environment, settled(environment)).commands == []


@pytest.mark.covers("DP-12")
def test_another_version_takes_the_other_slot(root: Path) -> None:
    facts = settled(pinned(root))
    result = planned(pinned(root, backend="1.1.0"), facts)
    assert result.said == "backend: blue -> green (ports 28000): version 1.0.0 -> 1.1.0"
    members = sent(result)
    assert "slot=green\nbase=/opt/everydayai/backend\n" in members["spec"]
    assert "server 127.0.0.1:28000" in members["nginx"]
    assert list(members)[-1] == "end", "the host knows a cut-off upload by its missing end"


def test_a_rotated_secret_takes_the_same_way(root: Path) -> None:
    facts = settled(pinned(root))
    pinned(root).secrets.set("KIE_API_KEY", "rotated-value-of-the-key")  # type: ignore[attr-defined]
    result = planned(pinned(root), facts)
    assert result.said == "backend: blue -> green (ports 28000): environment"
    assert "rotated-value-of-the-key" in sent(result)["env"]
    assert "rotated-value-of-the-key" not in "".join(result.commands) + result.said


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (("system.yaml", "workers: 4 ", "workers: 2 "), "unit"),
        (("system.yaml", "green: 28000", "green: 28010"), "instances"),
        (("system.yaml", "{type: int, value: 1440, min: 1", "{type: int, value: 720, min: 1"), "environment"),
    ],
)
def test_what_differs_in_the_processes_takes_the_other_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit, reason: str
) -> None:
    facts = settled(pinned(project(tmp_path / "a", monkeypatch)))
    changed = pinned(project(tmp_path / "b", monkeypatch, edit))
    assert planned(changed, facts).said.endswith(f": {reason}")


@pytest.mark.covers("EV-11")
@pytest.mark.parametrize("which", ["env_path", "unit_path"])
def test_a_file_changed_by_hand_takes_the_other_slot(root: Path, which: str) -> None:
    environment = pinned(root)
    facts, path = settled(environment), getattr(backend(environment), which)
    before = facts[FileStates]
    facts[FileStates] = lambda paths: {p: s for p, s in before(paths).items() if p != path}
    assert planned(environment, facts).said.endswith(f"{path} was changed by hand")


def test_health_checks_change_without_a_new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = ("system.yaml", "{path: /health/db, expect_json: {status: connected}}", "{path: /health/db}")
    facts = settled(pinned(project(tmp_path / "a", monkeypatch)))
    result = planned(pinned(project(tmp_path / "b", monkeypatch, edit)), facts)
    assert result.commands == ["base64 -d | /usr/local/lib/mainstay/install-files r1"]
    assert result.said == "/opt/everydayai/backend/slots/blue.json: health checks differ"


def test_what_a_cut_off_run_left_is_stopped_and_what_serves_is_started(root: Path) -> None:
    environment = pinned(root)
    left = {28000: Instance(active=True, enabled=True), 18000: Instance(active=False, enabled=True)}
    result = planned(environment, settled(environment, instances=left, current="0.9.0"))
    assert result.commands == [
        "/usr/local/lib/mainstay/journal unit r1 everydayai-backend@18000.service",
        "systemctl enable --quiet --now everydayai-backend@18000.service",
        "/usr/local/lib/mainstay/journal unit r1 everydayai-backend@28000.service",
        "systemctl disable --quiet --now everydayai-backend@28000.service",
        "/usr/local/lib/mainstay/journal save r1 /opt/everydayai/backend/current",
        "ln -sfn releases/1.0.0 /opt/everydayai/backend/current.new && "
        "mv -fT /opt/everydayai/backend/current.new /opt/everydayai/backend/current",
    ]


def test_without_nginx_s_word_no_running_slot_is_taken(root: Path) -> None:
    environment = pinned(root)
    state = SlotsState(instances={18000: Instance(active=True, enabled=True)})
    assert "green" in planned(environment, {Slots: state}).said


def test_outside_a_run_no_journal_is_kept(root: Path) -> None:
    assert planned(pinned(root), {Slots: SlotsState()}, run=None).commands[0].endswith("/switch -")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain", 'A="plain"\n'),
        ('a "b" \\ c', 'A="a \\"b\\" \\\\ c"\n'),
        ("$HOME `id` #x; y", 'A="\\$HOME \\`id\\` #x; y"\n'),
        ("two\nlines", 'A="two\nlines"\n'),
    ],
)
def test_values_are_quoted_after_secrets_are_in_place(value: str, line: str) -> None:
    assert env_text({"A": "<secret X@1>"}, lambda text: text.replace("<secret X@1>", value)) == line


@pytest.mark.covers("DP-35")
def test_the_unit_says_what_the_inventory_does(root: Path) -> None:
    environment = pinned(root)
    texts = {managed.path: managed for managed in files(environment, environment.hosts[APP])}
    unit = texts["/etc/systemd/system/everydayai-backend@.service"].content
    for line in (
        "After=network-online.target",
        "StartLimitIntervalSec=300",
        "StartLimitBurst=5",
        "User=everydayai",
        "WorkingDirectory=/opt/everydayai/backend/instances/%i/app",
        "EnvironmentFile=/etc/everydayai/backend.env",
        "Restart=on-failure",
        "RestartSec=5",
        "MemoryMax=536870912",
        "CPUQuota=200%",
        "WantedBy=multi-user.target",
    ):
        assert f"\n{line}\n" in f"\n{unit}\n"
    command = "/opt/everydayai/backend/instances/%i/venv/bin/uvicorn main:app --host 127.0.0.1 --port %i --workers 4"
    assert f"\nExecStart={command}\n" in unit
    env = texts["/etc/everydayai/backend.env"]
    assert (env.owner, env.group, env.mode) == ("root", "everydayai", 0o640)
    assert 'KIE_API_KEY="<secret KIE_API_KEY@1>"' in env.content


@pytest.mark.parametrize(("kind", "writes_code"), [("python", False), ("go", False), ("node", True)])
def test_each_kind_has_the_unit_that_its_runtime_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, writes_code: bool
) -> None:
    environment = pinned(project(tmp_path, monkeypatch, ("system.yaml", "kind: python", f"kind: {kind}")))
    wanted = backend(environment)
    lines = wanted.unit_text.splitlines()
    assert "LimitCORE=0" in lines
    assert ("MemoryDenyWriteExecute=yes" in lines) is not writes_code
    assert any(line.startswith("Environment=PYTHON") for line in lines) is (kind == "python")
    own = {
        "python": {},
        "go": {"GOMAXPROCS": "2", "GOMEMLIMIT": "460MiB"},
        "node": {
            "NODE_ENV": "production",
            "NODE_OPTIONS": f"--max-old-space-size={512 * 75 // 100 // 4}",
            "UV_THREADPOOL_SIZE": "8",
        },
    }
    assert {name: wanted.env[name] for name in wanted.env if name in _DERIVED} == own[kind]


_DERIVED = ("GOMAXPROCS", "GOMEMLIMIT", "NODE_ENV", "NODE_OPTIONS", "UV_THREADPOOL_SIZE", "WEB_CONCURRENCY")


@pytest.mark.covers("DF-83")
def test_profiles_stop_at_nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = backend(pinned(project(tmp_path / "a", monkeypatch))).nginx["blue"]
    assert "return 404" not in plain
    edits = [
        ("system.yaml", "kind: python", "kind: go"),
        ("system.yaml", "    drain_s: 30", "    profile: {trace: /trace}\n    drain_s: 30"),
    ]
    text = backend(pinned(project(tmp_path / "b", monkeypatch, *edits))).nginx["blue"]
    for path in ("/debug/pprof/", "/trace"):
        assert f"    location ^~ {path} {{\n        return 404;\n    }}\n" in text


def test_instances_stand_a_step_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edits = [
        ("system.yaml", "    step: 1 ", "    step: 100 "),
        ("system.yaml", "instances: {base: 1, min: 1, max: 2}", "instances: {base: 2, min: 1, max: 2}"),
        ("system.yaml", "pool: 2 ", "pool: 1 "),
    ]
    wanted = backend(pinned(project(tmp_path, monkeypatch, *edits)))
    assert wanted.ports == {"blue": [18000, 18100], "green": [28000, 28100]}
    for line in ("least_conn;", "server 127.0.0.1:18000 ", "server 127.0.0.1:18100 "):
        assert line in wanted.nginx["blue"]


def test_reads_what_the_host_says_of_its_slots() -> None:
    state = parse_slots(
        [
            "serves\tgreen",
            "current\t1.1.0",
            'slot\tblue\t{"version": "1.0.0"}',
            'slot\tgreen\t{"version": "1.1.0", "a": "x\\ty"}',
            "slot\tblack\tnot json",
            "enabled\ts-a@28000.service",
            "runs\ts-a@28000.service",
            "runs\ts-a@18000.service",
            "noise",
        ]
    )
    assert (state.active, state.current) == ("green", "1.1.0")
    assert state.serving["version"] == "1.1.0"
    assert state.instances == {28000: Instance(True, True), 18000: Instance(True, False)}
    assert "black" not in state.slots


def test_the_user_is_made_once_and_brought_back_to_what_it_should_be(root: Path) -> None:
    def of(found: Account | None) -> Planned:
        environment = pinned(root)
        member = environment.hosts[APP]
        return plan(service_user.present, "shop", environment=environment, member=member, facts={ServiceUser: found})

    assert of(None).commands == [
        "useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin shop"
    ]
    assert of(Account("/nonexistent", "/usr/sbin/nologin")).commands == []
    loose = of(Account("/home/shop", "/bin/bash"))
    assert loose.commands == ["usermod --home /nonexistent --shell /usr/sbin/nologin shop"]
    assert loose.said == "account: shop: home /home/shop, shell /bin/bash -> /nonexistent, /usr/sbin/nologin"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ([], None),
        (["shop:x:997:997::/nonexistent:/usr/sbin/nologin"], Account("/nonexistent", "/usr/sbin/nologin")),
        (["no such line"], None),
    ],
)
def test_the_user_is_read_from_the_password_file(line: list[str], found: Account | None) -> None:
    assert ServiceUser().process(line) == found


def test_what_an_instance_asks_for_is_kept_for_it(root: Path) -> None:
    system = root / "inventories/everydayai/system.yaml"
    text = system.read_text()
    assert "MemoryLow" not in backend(pinned(root)).unit_text
    system.write_text(
        text.replace("cpu_quota_pct: 200", "memory_low: 256M\n      cpu_weight: 50\n      cpu_quota_pct: 200", 1)
    )
    lines = backend(pinned(root)).unit_text.splitlines()
    assert {"MemoryMax=536870912", "CPUQuota=200%", "MemoryLow=268435456", "CPUWeight=50"} <= set(lines)
    system.write_text(text.replace("memory_max: 512M", "memory_max: 512M\n      memory_low: 1G", 1))
    with pytest.raises(InventoryError, match=r"limits\.memory_low: found 1G, expected at most memory_max, 512M"):
        pinned(root)
