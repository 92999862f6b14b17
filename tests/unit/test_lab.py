"""The pure parts of the lab: addresses, names, mirrors, recipes, overlays, and the sentence when it cannot run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from mainstay.errors import LabError
from mainstay.lab import (
    access,
    addresses,
    cgroups,
    inventories,
    limits,
    mirror,
    network,
    outside,
    overlay,
    proxy,
    recipe,
    requirements,
)
from mainstay.lab.addresses import Network
from mainstay.lab.hosts import names_inside, names_of
from mainstay.lab.inventories import Wanted, leave_out
from mainstay.lab.machine import processes_of
from mainstay.lab.overlay import HostOverlay, Overlay, parse_overlay
from mainstay.lab.paths import LabPaths
from mainstay.lab.sshfiles import known_hosts, ssh_config
from mainstay.lab.state import LabHost, LabState, load

MIRROR = "http://mirror.example/debian"
SECURITY = "http://mirror.example/debian-security"


def host(name: str, number: int, env: str = "staging", system: str = "orchard") -> LabHost:
    return LabHost(system, env, name, number, ("web",), 12, "/image")


class TestAddresses:
    def test_labs_do_not_overlap(self) -> None:
        subnets = [Network(index).subnet for index in range(16)]
        assert not any(a.overlaps(b) for a in subnets for b in subnets if a != b)
        assert all(subnet.subnet_of(IPv4Network("198.18.0.0/16")) for subnet in subnets)

    def test_everything_of_a_lab_is_in_its_subnet(self) -> None:
        lab = Network(3)
        for address in (lab.outside, lab.gateway, lab.address(11), lab.address(4094)):
            assert address in lab.subnet

    def test_the_longest_link_name_fits_the_kernel(self) -> None:
        assert len(Network(15).link(4094)) <= 15

    def test_the_lowest_number_is_given_out_again(self) -> None:
        assert Network(0).free_number({11, 12, 14}) == 13

    def test_a_full_network_says_so(self) -> None:
        with pytest.raises(LabError, match=r"198.18.0.0/20 is full: it holds 4084 hosts"):
            Network(0).free_number(set(range(4095)))

    def test_the_default_lab_is_the_first_and_others_follow(self) -> None:
        assert addresses.free_index("lab", set(), []) == 0
        assert addresses.free_index("mine", set(), []) == 1
        assert addresses.free_index("mine", set(range(1, 16)), []) == 0

    def test_a_network_that_the_machine_is_on_already_is_left_alone(self) -> None:
        assert addresses.free_index("lab", set(), [IPv4Network("198.18.3.0/24")]) == 1

    def test_sixteen_labs_are_enough(self) -> None:
        with pytest.raises(LabError, match="take a lab down first"):
            addresses.free_index("mine", set(range(16)), [])

    @pytest.mark.parametrize("name", ["", "a/b", "..", "cache", "locks", "-a", "A", "a" * 33])
    def test_a_lab_cannot_be_called(self, name: str) -> None:
        with pytest.raises(LabError, match=r"MAINSTAY_LAB: found .*, expected"):
            addresses.checked_name(name)

    def test_hardware_addresses_are_local_and_differ(self) -> None:
        assert addresses.mac(IPv4Address("198.18.0.11")) == "02:4d:c6:12:00:0b"

    def test_rules_let_only_the_gateway_out(self) -> None:
        text = network.rules(Network(2))
        assert 'ip saddr 198.18.32.2 oifname != "mslab2" masquerade' in text
        assert text.count("drop") == 3


class TestMirror:
    LINES = f"deb [arch=amd64 signed-by=/k] {MIRROR} bookworm main\ndeb {SECURITY}/ bookworm-security main\n"
    DEB822 = (
        f"Types: deb deb-src\nURIs: {MIRROR}/\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        f"Types: deb\nURIs: {SECURITY}\nSuites: bookworm-security\nComponents: main\n"
    )
    FOREIGN = (
        "deb https://other.example/apt bookworm-tools main\nTypes: deb\nURIs: https://n.example/x\nSuites: nodistro\n"
    )

    @pytest.mark.parametrize("text", [LINES, DEB822])
    def test_both_forms_of_sources(self, text: str) -> None:
        found = mirror.parse([text], "")
        assert (found.archive, found.security) == (MIRROR, SECURITY)

    def test_sources_that_are_not_debians_or_switched_off_do_not_count(self) -> None:
        off = "Enabled: no\n" + self.DEB822.replace("mirror", "off")
        found = mirror.parse([off.split("\n\n")[0], self.FOREIGN.replace("bookworm-tools", "nodistro"), self.LINES], "")
        assert found.archive == MIRROR

    def test_security_is_beside_the_archive_where_it_is_not_named(self) -> None:
        assert mirror.parse([f"deb {MIRROR} trixie main"], "").security == SECURITY

    def test_no_archive(self) -> None:
        with pytest.raises(LabError, match="/etc/apt: found no source"):
            mirror.parse([self.FOREIGN.replace("bookworm-tools", "nodistro")], "")

    def test_settings_of_a_mirror_that_stands_still_are_carried_over(self) -> None:
        dump = 'APT "";\nAcquire::Check-Valid-Until "false";\nAcquire::Retries "3";\n'
        assert mirror.parse([self.LINES], dump).settings == ('Acquire::Check-Valid-Until "false";',)

    def test_a_proxy_is_used_and_its_name_is_what_is_resolved(self) -> None:
        found = mirror.parse([self.LINES], 'Acquire::http::Proxy "http://proxy.example:3128";\n')
        assert found.names() == {"proxy.example"}
        assert mirror.resolved(found, lambda name: "192.0.2.9") == "192.0.2.9 proxy.example\n"

    def test_a_proxy_on_the_loopback_is_out_of_reach(self) -> None:
        with pytest.raises(LabError, match="hosts of the lab cannot reach"):
            mirror.parse([self.LINES], 'Acquire::http::Proxy "http://127.0.0.1:3128";\n')

    def test_a_name_that_does_not_resolve(self) -> None:
        def fail(name: str) -> str:
            raise OSError("no such name")

        with pytest.raises(LabError, match=r"mirror\.example, where this machine's packages come from"):
            mirror.resolved(mirror.parse([self.LINES], ""), fail)

    def test_hosts_ask_the_gateway_for_what_comes_by_https(self) -> None:
        found = mirror.Mirror("https://mirror.example/debian", SECURITY)
        assert "URIs: http://mirror.example/debian\n" in found.sources(13)
        assert "deb https://mirror.example/debian trixie main\n" in found.one_line_sources(13)


class TestProxy:
    def config(self, archive: str = MIRROR, security: str = SECURITY, by: str = "") -> str:
        return " ".join(proxy.config(mirror.Mirror(archive, security, (), by), Network(2)).split())

    def test_only_the_mirrors_are_asked_and_each_as_this_machine_does(self) -> None:
        found = self.config("https://a.example/debian", "http://b.example:8080/security")
        assert "map $host $origin { b.example http://b.example; a.example https://a.example; }" in found
        assert "upstream b.example { server b.example:8080; } upstream a.example { server a.example:443; }" in found
        assert 'if ($origin = "") { return 403; }' in found

    def test_behind_a_proxy_that_one_is_asked_for_whole_addresses(self) -> None:
        found = self.config(by="http://proxy.example:3128")
        assert "upstream proxy { server proxy.example:3128; }" in found
        assert 'rewrite ^(.*)$ "http$1" break; proxy_pass http://proxy;' in found
        assert "proxy_pass $origin" not in found

    def test_an_archive_by_https_behind_a_proxy_is_out_of_reach(self) -> None:
        with pytest.raises(LabError, match=r"found https://m\.example/debian behind apt's proxy http://p\.example"):
            mirror.parse(["deb https://m.example/debian bookworm main"], 'Acquire::http::Proxy "http://p.example";\n')


class TestRecipe:
    def test_the_same_recipe_has_the_same_name(self) -> None:
        found = mirror.Mirror(MIRROR, SECURITY)
        assert recipe.base(12, found).name == recipe.base(12, found).name

    def test_whatever_changes_an_image_changes_its_name(self) -> None:
        found = mirror.Mirror(MIRROR, SECURITY)
        other = [mirror.Mirror("http://b.example", SECURITY), mirror.Mirror(MIRROR, SECURITY, ("A 1;",))]
        names = {recipe.base(12, found).name, recipe.base(13, found).name, *(recipe.base(12, m).name for m in other)}
        assert len(names) == 4

    def test_nothing_that_mainstay_deploys_is_in_it(self) -> None:
        assert not {"nginx", "postgresql", "redis-server", "chrony"} & set(recipe.PACKAGES)


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


class TestRequirements:
    """The sentence that says what is missing, one case a cause."""

    @staticmethod
    def missing(
        system: str = "Linux",
        user: int = 0,
        absent: Sequence[str] = (),
        filesystems: str = "nodev\toverlay\n",
        failing: Callable[[Sequence[str]], bool] = lambda argv: False,
    ) -> str | None:
        def which(program: str) -> str | None:
            return None if program in absent else f"/usr/bin/{program}"

        return requirements.missing(system, user, which, lambda: filesystems, lambda argv: not failing(argv))

    def test_nothing(self) -> None:
        assert self.missing() is None

    def test_the_operating_system(self) -> None:
        assert "this is Darwin" in str(self.missing(system="Darwin"))

    def test_root(self) -> None:
        assert "started as root" in str(self.missing(user=1000))

    def test_programs_by_their_packages(self) -> None:
        found = str(self.missing(absent=["systemd-nspawn", "nft", "ssh", "ssh-keygen"]))
        assert found == "programs are missing (apt-get install nftables openssh-client systemd-container)"

    def test_overlayfs_may_come_as_a_module(self) -> None:
        assert self.missing(filesystems="ext4\n") is None
        assert "CONFIG_OVERLAY_FS" in str(self.missing(filesystems="ext4\n", failing=lambda argv: "modprobe" in argv))

    @pytest.mark.parametrize(
        ("word", "option"), [("bridge", "CONFIG_BRIDGE"), ("veth", "CONFIG_VETH"), ("nft", "CONFIG_NF_TABLES")]
    )
    def test_kernel_features(self, word: str, option: str) -> None:
        assert option in str(self.missing(failing=lambda argv: word in argv))

    def test_the_whole_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        with pytest.raises(LabError) as caught:
            requirements.require()
        assert str(caught.value) == (
            "The lab cannot run here: it boots hosts and lays networks, and for that it must be started as root. "
            "Without the lab these work: mainstay check, render, schema, secrets."
        )


class TestOutside:
    def test_an_error_is_one_line_without_scripts(self) -> None:
        with pytest.raises(LabError, match=r"^sh -c ended with 3: E: second$"):
            outside.run(["sh", "-c", "echo first\necho E: second >&2\nexit 3"])

    def test_files_are_replaced_whole(self, tmp_path: Path) -> None:
        outside.write_atomically(tmp_path / "a", "x", mode=0o600)
        assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("a", 0o600)]

    def test_no_process_belongs_to_a_host_that_is_not_there(self) -> None:
        assert processes_of("mslab15-4094") == []

    def test_control_groups_are_left_to_a_systemd_outside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "is_dir", lambda self: True)
        assert cgroups.enter_files("mslab15-4094") == []


def test_the_schema_of_status_names_what_is_printed() -> None:
    from dataclasses import fields

    from mainstay.lab.status import HostStatus

    path = Path(__file__).parents[2] / "docs/json/lab.schema.json"
    schema = json.loads(path.read_text())["properties"]["hosts"]["items"]
    assert schema["required"] == list(schema["properties"]) == [field.name for field in fields(HostStatus)]


def test_a_limit_that_is_too_low_is_raised_once_and_put_back(tmp_path):
    limit, memory = tmp_path / "limit", tmp_path / "memory"
    limit.write_text("128\n")
    limits.lift(limit, memory)
    limits.lift(limit, memory)
    assert int(limit.read_text()) == limits.ENOUGH
    limits.put_back(limit, memory)
    assert limit.read_text() == "128\n"
    limit.write_text("9000\n")  # an administrator's own
    limits.lift(limit, memory)
    limits.put_back(limit, memory)
    assert limit.read_text() == "9000\n"
