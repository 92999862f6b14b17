"""The pure parts of the lab: overlays, its state, and what it gives ssh and inventories."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from mainstay.errors import LabError
from mainstay.lab import access, inventories, overlay
from mainstay.lab.hosts import names_inside, names_of
from mainstay.lab.inventories import Wanted, leave_out
from mainstay.lab.overlay import HostOverlay, Overlay, parse_overlay
from mainstay.lab.paths import LabPaths
from mainstay.lab.sshfiles import known_hosts, ssh_config
from mainstay.lab.state import LabHost, LabState, load


def host(name: str, number: int, env: str = "staging", system: str = "orchard") -> LabHost:
    return LabHost(system, env, name, number, ("web",), 12, "/image")


class TestOverlay:
    def test_what_is_written_is_what_is_read(self, tmp_path: Path) -> None:
        written = Overlay("lab", Path("/k"), Path("/h"), {"staging/apple": HostOverlay("198.18.0.11", 22, 13)}, ["gpu"])
        written.write(tmp_path / "overlay.json")
        assert parse_overlay((tmp_path / "overlay.json").read_text()) == written

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "lab", "hosts": {"a": 1}}'])
    def test_a_damaged_overlay(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            parse_overlay(text)

    def test_a_lab_that_is_not_up(self) -> None:
        with pytest.raises(LabError, match="MAINSTAY_LAB=no-such-lab mainstay lab up orchard"):
            overlay.read_overlay("no-such-lab", "orchard")

    def test_what_cannot_be_proven_follows_from_roles(self) -> None:
        assert overlay.unproven({"web", "scylla", "ml"}) == ["gpu", "scylla"]
        assert overlay.unproven({"web", "db"}) == []


class TestWithout:
    WANTED = (
        Wanted("staging", "one", ("web",), 12),
        Wanted("staging", "two", ("monitoring",), 12),
        Wanted("staging", "three", ("app", "monitoring"), 12),
    )

    def test_hosts_with_no_other_role_are_left_out(self) -> None:
        assert [host.name for host in leave_out(list(self.WANTED), ["monitoring"], "orchard")] == ["one", "three"]
        assert leave_out(list(self.WANTED), [], "orchard") == list(self.WANTED)

    @pytest.mark.parametrize("role", ["web", "app", "scylla", "nonsense"])
    def test_only_roles_that_are_there_and_have_a_component(self, role: str) -> None:
        with pytest.raises(LabError, match=f"--without: found {role}, expected roles of orchard .*: monitoring"):
            leave_out(list(self.WANTED), [role], "orchard")

    def test_it_is_kept_with_the_lab(self, tmp_path: Path) -> None:
        paths = cast(LabPaths, SimpleNamespace(name="lab", state=tmp_path / "lab.json"))
        LabState("lab", 0, [host("apple", 11)], {"orchard": ["monitoring"]}).save(paths)
        again = load(paths)
        assert again is not None and (again.without, len(again.hosts)) == ({"orchard": ["monitoring"]}, 1)
        old = json.loads(paths.state.read_text())
        del old["without"]
        paths.state.write_text(json.dumps(old))
        before = load(paths)
        assert before is not None and before.without == {}, "of a lab that was up before it could do without"


class TestState:
    LAB = LabState("lab", 0, [host("apple", 11), host("apple", 12, "production"), host("pear", 13)])

    @pytest.mark.parametrize(
        ("name", "number"), [("pear", 13), ("staging/apple", 11), ("orchard/production/apple", 12)]
    )
    def test_find(self, name: str, number: int) -> None:
        assert self.LAB.find(name).number == number

    @pytest.mark.parametrize(("name", "message"), [("plum", "it has: apple, apple, pear"), ("apple", "2 hosts called")])
    def test_find_nothing_or_too_much(self, name: str, message: str) -> None:
        with pytest.raises(LabError, match=message):
            self.LAB.find(name)

    def test_short_names_only_where_they_are_clear(self) -> None:
        names = names_of(self.LAB)
        assert names["198.18.0.13"][0] == "pear"
        assert names["198.18.0.11"][0] == "apple.staging.orchard.lab"
        assert names_inside(self.LAB)["198.18.0.13"] == ["pear", "pear.staging.orchard.lab"]

    def test_state_survives_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mainstay.lab.paths.HOME", tmp_path)
        paths = LabPaths("lab")
        assert load(paths) is None
        paths.root.mkdir()
        self.LAB.save(paths)
        assert load(paths) == self.LAB
        paths.state.write_text("{")
        with pytest.raises(LabError, match=r"lab\.json: found .*, expected the state of a lab"):
            load(paths)


class TestSsh:
    def test_strict_host_keys_by_address(self) -> None:
        text = ssh_config(LabPaths("lab"), {"198.18.0.11": "apple staging/apple"})
        assert "Host apple staging/apple\n  HostName 198.18.0.11\n" in text
        assert "StrictHostKeyChecking yes" in text
        assert known_hosts({"198.18.0.11": "ssh-ed25519 AAAA"}) == "198.18.0.11 ssh-ed25519 AAAA\n"

    def test_operators_come_before_the_images_user(self) -> None:
        passwd = (
            "root:x:0:0::/root:/bin/bash\ndebian:x:1000:1000::/home/debian:/bin/bash\n"
            "svc:x:999:999::/:/usr/sbin/nologin\nada:x:1001:1001::/home/ada:/bin/bash\n"
            "bob:x:1002:1002::/home/bob:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"
        )
        assert list(access.candidates(passwd, None)) == ["ada", "bob", "debian"]
        assert list(access.candidates(passwd, "bob")) == ["bob", "ada", "debian"]
        assert list(access.candidates(passwd, "eve")) == ["ada", "bob", "debian"]


class TestInventories:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        found = tmp_path / "inventories/orchard"
        found.mkdir(parents=True)
        (found / "staging.yaml").write_text("hosts: {apple: {roles: [web], debian: 13}, pear: }\nunknown: 1\n")
        (found / "production.yaml").write_text("hosts: {plum: {roles: [db]}}\n")
        monkeypatch.setenv("MAINSTAY_PROJECT", str(tmp_path))
        return found

    @pytest.mark.usefixtures("folder")
    def test_hosts_of_all_environments_whatever_else_is_wrong(self) -> None:
        found = [(host.env, host.name, host.roles, host.debian) for host in inventories.hosts_of("orchard", None)]
        assert found == [
            ("staging", "apple", ("web",), 13),
            ("staging", "pear", (), 12),
            ("production", "plum", ("db",), 12),
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("hosts: 3", "expected a map of hosts"),
            ("a: [", "expected YAML"),
            ("", "expected a map of hosts"),
            (None, "no such file"),
        ],
    )
    def test_faults(self, folder: Path, text: str | None, message: str) -> None:
        (folder / "staging.yaml").unlink()
        if text is not None:
            (folder / "staging.yaml").write_text(text)
        with pytest.raises(LabError, match=rf"staging\.yaml: .*{message}"):
            inventories.hosts_of("orchard", "staging")

    def test_choose(self) -> None:
        wanted = [Wanted("staging", "apple", (), 12), Wanted("production", "apple", (), 12)]
        assert inventories.choose(wanted, ["staging/apple"], "orchard") == wanted[:1]
        assert inventories.choose(wanted, ["apple"], "orchard") == wanted
        assert inventories.choose(wanted, [], "orchard") == wanted
        with pytest.raises(LabError, match="--hosts: found plum, expected hosts of orchard: apple, apple"):
            inventories.choose(wanted, ["plum"], "orchard")
