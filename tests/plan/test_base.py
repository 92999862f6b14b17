"""base's files and openings for each kind of host, and what its operations send to hosts in each state."""

from __future__ import annotations

import base64
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploys.components.base import files as base
from deploys.components.base.firewall import Opening, openings
from deploys.operations import deadman, files, operators, timezone
from facts.base import Accounts, AccountState, TimeZone, parse_accounts, parse_tracking
from facts.files import FileState, FileStates, FileText, InEffect
from mainstay.files import FileSet, ManagedFile
from mainstay.inventory import Environment
from tests.plan.harness import plan
from tests.unit.inventories import copied, loaded, messages


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return loaded(copied(tmp_path_factory.mktemp("plan-base")))


def opened(environment: Environment, name: str) -> dict[int, tuple[str, ...]]:
    return {one.port: one.sources for one in openings(environment, environment.hosts[name])}


def addresses(environment: Environment, *roles: str) -> tuple[str, ...]:
    return tuple(host.address for role in roles for host in environment.hosts_of(role))


def measured(environment: Environment, *ports: int) -> dict[int, tuple[str, ...]]:
    """Ports of exporters, which are for the hosts that watch alone."""
    return dict.fromkeys(ports, addresses(environment, "monitoring"))


def test_web_hosts_are_open_to_all_and_nothing_else_is(production: Environment) -> None:
    assert opened(production, "eai-web-1") == {22: (), 80: (), 443: (), **measured(production, 9100, 9113)}


@pytest.mark.covers("DF-90")
def test_app_hosts_are_open_to_web_hosts_at_the_canonical_port_only(production: Environment) -> None:
    own = {22: (), 8000: addresses(production, "web", "monitoring")}
    assert opened(production, "eai-app-1") == own | measured(production, 9100, 9113)


def test_databases_and_caches_are_open_to_app_hosts_only(production: Environment) -> None:
    app = addresses(production, "app")
    assert opened(production, "eai-db-1") == {22: (), 5432: app, **measured(production, 9100, 9187)}
    assert opened(production, "eai-cache-1") == {22: (), 6379: app, **measured(production, 9100, 9121)}


def test_a_host_is_not_its_own_client(production: Environment) -> None:
    own = replace(production.hosts["eai-db-1"], roles=("db", "app"))
    environment = replace(production, hosts={**production.hosts, own.name: own})
    assert own.address not in opened(environment, own.name)[5432]


def test_ssh_may_be_kept_to_networks_of_both_families(tmp_path: Path) -> None:
    edit = ("system.yaml", "{max_auth_tries: 4}", "{max_auth_tries: 4, allow_from: [203.0.113.0/24, '2001:db8::/32']}")
    environment = loaded(copied(tmp_path, edit))
    text = base.firewall(environment, environment.hosts["eai-db-1"]).files[0].content
    assert 'ip saddr { 203.0.113.0/24 } tcp dport 22 accept comment "sshd"' in text
    assert 'ip6 saddr { 2001:db8::/32 } tcp dport 22 accept comment "sshd"' in text


def test_no_rule_for_a_family_without_sources() -> None:
    assert Opening(1, ("192.0.2.1",), "x").rules == ['ip saddr { 192.0.2.1 } tcp dport 1 accept comment "x"']


@pytest.mark.parametrize("name", ["root", "debian", "everydayai", "systemd-network", "operators"])
def test_an_operator_is_a_person(tmp_path: Path, name: str) -> None:
    found = messages(copied(tmp_path, ("system.yaml", "  alex:", f"  {name}:")))
    assert any("an account of the system" in message for message in found), found


def test_sshd_reads_keys_that_only_the_inventory_writes(production: Environment) -> None:
    wanted = base.access(production, production.hosts["eai-db-1"])
    paths = {managed.path: managed for managed in wanted.files}
    assert paths["/etc/ssh/authorized_keys.d/alex"].content == production.operators["alex"].keys[0] + "\n"
    assert paths["/etc/sudoers.d/mainstay"].mode == 0o440
    text = paths["/etc/ssh/sshd_config.d/00-mainstay.conf"].content
    for line in ("AllowGroups operators", "PermitRootLogin no", "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u"):
        assert line in text.splitlines()
    assert wanted.deadman and wanted.only == [base.KEYS_FOLDER]


def test_only_the_lab_has_a_clock_that_is_watched(production: Environment) -> None:
    assert [managed.path for managed in base.clock(production).files] == ["/etc/chrony/chrony.conf"]


# Operations.


def sent(planned: Any) -> dict[str, str]:
    """The members of the archive that the first command is given."""
    data = base64.decodebytes(planned.stdin[0].encode())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read().decode() for member in tar.getmembers()}  # type: ignore[union-attr]


@pytest.fixture
def host(production: Environment) -> dict[str, Any]:
    return {"environment": production, "member": production.hosts["eai-db-1"]}


ONE, TWO = ManagedFile("/etc/x/one", "1\n"), ManagedFile("/etc/x/two", "2\n", mode=0o600)
RIGHT = {f.path: FileState("root", "root", f.mode, f.digest(lambda text: text)) for f in (ONE, TWO)}


def test_files_that_stand_are_no_change(host: dict[str, Any]) -> None:
    assert plan(files.installed, FileSet([ONE, TWO]), facts={FileStates: RIGHT}, **host).commands == []


def test_only_what_differs_is_sent(host: dict[str, Any]) -> None:
    states = {**RIGHT, TWO.path: replace(RIGHT[TWO.path], mode=0o644)}
    planned = plan(files.installed, FileSet([ONE, TWO], check="c", activate="a"), facts={FileStates: states}, **host)
    assert planned.commands == ["base64 -d | /usr/local/lib/mainstay/install-files r1"]
    archive = sent(planned)
    assert archive["manifest"] == "600\troot\troot\t/etc/x/two\n"
    assert (archive["check"], archive["activate"], archive["deadman"]) == ("c", "a", "")
    assert "root:root 644 -> root:root 600" in planned.said


@pytest.mark.parametrize("state", [FileState("nobody", "root", 0o644, "x"), FileState("root", "root", 0o777, "link")])
def test_somebody_else_s_file_or_a_link_is_replaced(host: dict[str, Any], state: FileState) -> None:
    facts = {FileStates: {ONE.path: state}, FileText: "1\n"}
    assert len(plan(files.installed, FileSet([ONE]), facts=facts, **host).commands) == 1


def test_what_is_not_managed_goes_from_a_folder_that_is_ours(host: dict[str, Any]) -> None:
    states = {**RIGHT, "/etc/x/stray": FileState("root", "root", 0o644, "x")}
    planned = plan(files.installed, FileSet([ONE, TWO], only=["/etc/x"]), facts={FileStates: states}, **host)
    assert sent(planned)["remove"] == "/etc/x/stray\n"
    assert sent(planned)["manifest"] == ""


def test_a_set_that_is_not_in_effect_is_activated_again(host: dict[str, Any]) -> None:
    wanted = FileSet([ONE, TWO], activate="a", in_effect="q")
    assert plan(files.installed, wanted, facts={FileStates: RIGHT, InEffect: True}, **host).commands == []
    planned = plan(files.installed, wanted, facts={FileStates: RIGHT, InEffect: False}, **host)
    assert sent(planned)["activate"] == "a"
    assert "not in effect" in planned.said


def test_a_dangerous_step_is_confirmed_by_its_own_token(host: dict[str, Any]) -> None:
    wanted = FileSet([ONE], deadman=45)
    planned = plan(files.installed, wanted, facts={FileStates: {}}, **host)
    assert sent(planned)["deadman"] == f"45 {wanted.token}\n"
    assert planned.commands[1].startswith("FunctionCommand(confirm")
    assert FileSet([ONE], deadman=45).token != wanted.token


def test_accounts_are_made_joined_and_taken_out(host: dict[str, Any]) -> None:
    state = AccountState(True, frozenset({"alex", "left"}), frozenset({"alex", "kim"}))
    planned = plan(operators.present, ["alex", "kim", "new"], "operators", facts={Accounts: state}, **host)
    assert planned.commands == [
        "usermod --append --groups operators kim",
        "useradd --create-home --shell /bin/bash --groups operators new",
        "gpasswd --delete left operators && { loginctl terminate-user left 2>/dev/null || true; }",
    ]


def test_accounts_that_are_right_are_no_change(host: dict[str, Any]) -> None:
    state = AccountState(True, frozenset({"alex"}), frozenset({"alex"}))
    assert plan(operators.present, ["alex"], "operators", facts={Accounts: state}, **host).commands == []


@pytest.mark.parametrize("zone", ["Etc/UTC", "UTC"])
def test_utc_is_no_change(host: dict[str, Any], zone: str) -> None:
    assert plan(timezone.utc, facts={TimeZone: zone}, **host).commands == []


def test_another_zone_is_journalled_and_replaced(host: dict[str, Any]) -> None:
    planned = plan(timezone.utc, facts={TimeZone: "Europe/Berlin"}, **host)
    assert planned.commands[0].endswith("journal save r1 /etc/localtime /etc/timezone")
    assert "Europe/Berlin -> Etc/UTC" in planned.said


# Parsers.


def test_accounts_are_read_from_getent() -> None:
    lines = ["group:operators:x:1001:alex,kim", "user:alex:x:1001:1002::/home/alex:/bin/bash", "user:broken", ""]
    assert parse_accounts(lines) == AccountState(True, frozenset({"alex", "kim"}), frozenset({"alex"}))
    assert parse_accounts([]) == AccountState()


NORMAL = "C6120001,198.18.0.2,9,1795320000.1,-0.000012,0.000001,0.00002,0.1,0.0,0.2,0.0003,0.0001,64.2,Normal"


@pytest.mark.covers("EV-14")
def test_tracking_tells_a_clock_that_is_off_from_one_that_nobody_follows() -> None:
    right = parse_tracking([NORMAL])
    assert right and right.synchronised and abs(right.offset_s) < 1
    off = parse_tracking([NORMAL.replace("-0.000012", "1.500000")])
    assert off and off.synchronised and off.offset_s == 1.5
    cannot_be_set = parse_tracking([NORMAL.replace("0.000001", "4.999992")])
    assert cannot_be_set and cannot_be_set.offset_s == 4.999992
    lost = parse_tracking([NORMAL.replace("Normal", "Not synchronised")])
    assert lost and not lost.synchronised
    assert parse_tracking(["506 Cannot talk to daemon"]) is None


def test_the_host_waits_longer_than_the_laptop_tries() -> None:
    """And undoing and telling of it fit in a minute."""
    assert deadman.CONFIRM_S + deadman.ANSWER_S < deadman.DEADMAN_S
    assert deadman.DEADMAN_S + deadman.UNDO_S <= 60
