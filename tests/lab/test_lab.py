"""The lab itself: what it gives, what it survives, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mainstay.errors import LabError
from mainstay.lab import Lab, Wanted, read_overlay, state
from mainstay.lab.image import ensure
from mainstay.lab.machine import processes_of
from mainstay.lab.paths import HOME, IMAGES, PACKAGES
from tests.json_schema import faults

SYSTEM = "orchard"
HOSTS = [Wanted("staging", "apple", ("web",), 12), Wanted("production", "pear", ("ml",), 12)]
HARDENED = (
    "PrivateTmp=yes ProtectSystem=strict ProtectHome=yes PrivateDevices=yes ProtectKernelTunables=yes "
    "ProtectControlGroups=yes ProtectProc=invisible ProcSubset=pid RestrictNamespaces=yes PrivateUsers=yes "
    "MemoryDenyWriteExecute=yes SystemCallFilter=@system-service DynamicUser=yes IPAddressDeny=any MemoryMax=100M"
)


def name(suffix: str) -> str:
    """A lab of this worker alone."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return f"{os.environ.get('MAINSTAY_LAB', 'bintest')}-{worker}-{suffix}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with two hosts, one an environment."""
    found = Lab(name("own"))
    found.down()
    found.provide(SYSTEM, HOSTS)
    yield found
    found.down()


@pytest.fixture
def other() -> Iterator[Lab]:
    """A second lab, empty, for tests that make their own hosts."""
    found = Lab(name("other"))
    found.down()
    yield found
    found.down()


def ok(lab: Lab, host: str, command: str) -> str:
    done = lab.exec(host, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def traces(lab: Lab, index: int) -> list[str]:
    """All on this machine that names the lab: links, namespaces, rules, mounts, control groups, processes, files."""
    bridge = f"mslab{index}"

    def of_lab(text: str) -> bool:
        return str(lab.paths.root) in text or any(
            word.split("-")[0] == bridge for word in text.replace("@", " ").split()
        )

    shown = [
        lab.outside_exec(*argv).stdout.splitlines()
        for argv in (["ip", "-br", "link"], ["ip", "netns"], ["nft", "list", "tables"], ["losetup", "-a"])
    ]
    shown.append(Path("/proc/self/mounts").read_text().splitlines())
    shown.append([path.name for path in Path("/sys/fs/cgroup").glob("**/mainstay-lab/*")])
    shown.append([path.name for path in Path("/run/systemd/nspawn").glob("*/*")])
    shown.append([lab.paths.root.name] if lab.paths.root.exists() else [])
    left = [line for lines in shown[:-1] for line in lines if of_lab(line)] + shown[-1]
    links = [f"{bridge}-{number}" for number in ("gw", *range(11, 16))]
    return left + [f"process {process}" for link in links for process in processes_of(link)]


def test_hosts_have_names_packages_and_root_but_no_way_out(lab: Lab) -> None:
    assert ok(lab, "apple", "hostname; sudo id -un").split() == ["apple", "root"]
    assert ok(lab, "apple", "getent hosts pear").split()[0] == lab.address("pear")
    assert ok(lab, "apple", "dpkg-query -W -f '${Status}' nginx 2>/dev/null || echo absent").endswith("absent")
    ok(lab, "apple", "sudo apt-get -q update && sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install rsync")
    assert lab.exec("apple", "getent hosts example.org").returncode != 0
    assert lab.exec("apple", "timeout 3 bash -c '</dev/tcp/192.0.2.1/80'").returncode != 0


def test_packages_are_fetched_once_for_all_and_nothing_else_comes_in(lab: Lab) -> None:
    uri = ok(lab, "apple", "sudo apt-get -qq update && apt-get download --print-uris hello").split()[0].strip("'")
    kept = PACKAGES / uri.removeprefix("http://")
    kept.unlink(missing_ok=True)
    with ThreadPoolExecutor() as pool:
        both = pool.map(
            lambda host: ok(lab, host, "cd /tmp && sudo apt-get -q update && apt-get download hello"), ("apple", "pear")
        )
    assert len(list(both)) == 2
    assert kept.is_file() and kept.read_bytes()[:7] == b"!<arch>"
    asked = f"curl -s -o /dev/null -w '%{{http_code}}' -x http://{lab.state().network.gateway}:3142 http://example.org/"
    assert ok(lab, "apple", f"sudo apt-get -q -y install curl >/dev/null && {asked}") == "403"


@pytest.mark.covers("TP-14")
def test_units_are_sandboxed_and_hosts_settle_without_a_failed_unit(lab: Lab) -> None:
    assert ok(lab, "apple", "systemctl is-system-running") == "running"
    options = " ".join(f"-p {option}" for option in HARDENED.split())
    ok(lab, "apple", f"sudo systemd-run -q --wait {options} /bin/true")
    ok(lab, "apple", "sudo iptables -N try && sudo iptables -X try")
    ok(lab, "apple", "sudo sysctl -q -w net.core.somaxconn=1024")


def test_each_host_is_itself(lab: Lab) -> None:
    ids = {
        ok(lab, host, "cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub | cut -d' ' -f2")
        for host in ("apple", "pear")
    }
    assert len(ids) == 2
    assert len(lab.paths.known_hosts.read_text().splitlines()) == 2
    assert lab.paths.key.stat().st_mode & 0o777 == 0o600


def test_a_wrong_host_key_is_refused(lab: Lab) -> None:
    text = lab.paths.known_hosts.read_text()
    apple, pear = [line.split()[2] for line in text.splitlines()]
    lab.paths.known_hosts.write_text(text.replace(apple, "x").replace(pear, apple).replace("x", pear))
    try:
        assert "verification failed" in lab.exec("apple", "true").stderr
    finally:
        lab.paths.known_hosts.write_text(text)


def test_the_overlay_says_where_hosts_are_and_what_is_not_proven(lab: Lab) -> None:
    overlay = read_overlay(lab.name, SYSTEM)
    assert {key: (host.address, host.port) for key, host in overlay.hosts.items()} == {
        "staging/apple": (lab.address("apple"), 22),
        "production/pear": (lab.address("pear"), 22),
    }
    assert overlay.unproven == ["gpu"]
    with pytest.raises(LabError, match="has no hosts of meadow"):
        read_overlay(lab.name, "meadow")


def test_a_cut_host_is_silent_until_it_is_healed(lab: Lab) -> None:
    lab.cut("apple")
    try:
        assert lab.exec("apple", "true").returncode == 255
        assert lab.exec("pear", "ping -c1 -W1 apple.staging.orchard.lab").returncode != 0
        assert lab.inside("apple", "hostname").stdout == "apple\n"
    finally:
        lab.heal("apple")
    ok(lab, "pear", "ping -c1 -W2 apple.staging.orchard.lab")
    ok(lab, "apple", "true")


def test_a_killed_host_boots_with_its_disk(lab: Lab) -> None:
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    before = ok(lab, "pear", f"echo kept | sudo tee /root/note >/dev/null; {boot_id}")
    lab.kill("pear")
    assert lab.exec("pear", "true").returncode == 255
    ok(lab, "apple", "true")
    lab.boot("pear")
    assert ok(lab, "pear", "sudo cat /root/note") == "kept"
    assert ok(lab, "pear", boot_id) != before


def test_a_full_disk(lab: Lab) -> None:
    ok(lab, "apple", "sudo mkdir -p /srv/small && echo here | sudo tee /srv/small/note")
    lab.attach_full_disk("apple", "/srv/small", 8 << 20)
    full = lab.exec("apple", "cat /srv/small/note; sudo dd if=/dev/zero of=/srv/small/big bs=1M count=20")
    assert full.stdout == "here\n"
    assert "No space left on device" in full.stderr
    lab.detach_full_disk("apple", "/srv/small")
    assert ok(lab, "apple", "ls /srv/small") == "note"
    lab.attach_full_disk("apple", "/srv/small", 8 << 20)
    lab.kill("apple")
    assert str(lab.paths.root) not in lab.outside_exec("losetup", "-a").stdout
    lab.boot("apple")


def test_a_second_lab_does_not_see_the_first(lab: Lab, other: Lab) -> None:
    other.provide(SYSTEM, HOSTS[:1])
    assert other.address("apple") != lab.address("apple")
    assert other.exec("apple", f"ping -c1 -W1 {lab.address('apple')}").returncode != 0
    ok(lab, "apple", "true")


def test_systems_come_and_go_beside_each_other(lab: Lab) -> None:
    lab.provide("meadow", [Wanted("staging", "apple", (), 12)])
    with pytest.raises(LabError, match=r"2 hosts called apple: say .*orchard/staging/apple"):
        lab.exec("apple", "true")
    assert ok(lab, "meadow/staging/apple", "getent hosts apple.staging.orchard.lab; hostname").endswith("apple")
    lab.down("meadow")
    assert lab.state().systems == [SYSTEM]
    ok(lab, "apple", "true")


def test_down_leaves_nothing(other: Lab) -> None:
    """Not even what a `down` that was killed left behind: the group of a host that is not there any more."""
    index = _up_and_index(other)
    assert traces(other, index)
    for parent in Path("/sys/fs/cgroup").glob("**/mainstay-lab"):
        (parent / f"mslab{index}-15" / "init.scope").mkdir(parents=True)
    other.down()
    assert traces(other, index) == []
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == _FORWARD
    assert state.names() or not [name for name in ("uplinks.json", "inotify.before") if (HOME / name).exists()]
    assert other.down() == []


def test_hosts_whose_processes_were_killed_come_back_with_up(other: Lab) -> None:
    index = _up_and_index(other)
    ok(other, "apple", "echo kept | sudo tee /root/note")
    for link in (f"mslab{index}-11", f"mslab{index}-gw"):
        for process in processes_of(link):
            with suppress(FileNotFoundError, ProcessLookupError):  # one that ends by itself is not the one meant
                if b"systemd-nspawn" in Path(f"/proc/{process}/cmdline").read_bytes():
                    os.kill(process, signal.SIGKILL)
    other.provide(SYSTEM, HOSTS)
    assert ok(other, "apple", "sudo cat /root/note") == "kept"
    ok(other, "pear", "sudo apt-get -q update")


@pytest.mark.parametrize("seconds", [0.7, 1.5, 2.5, 4.0])
@pytest.mark.parametrize("then", ["up", "down"])
def test_up_may_be_killed_at_any_moment(other: Lab, tmp_path: Path, seconds: float, then: str) -> None:
    (tmp_path / "inventories" / SYSTEM).mkdir(parents=True)
    for env, host in (("staging", "apple"), ("production", "pear")):
        (tmp_path / "inventories" / SYSTEM / f"{env}.yaml").write_text(f"hosts: {{{host}: {{roles: [web]}}}}\n")
    environment = {**os.environ, "MAINSTAY_LAB": other.name, "MAINSTAY_PROJECT": str(tmp_path)}
    command = [sys.executable, "-m", "mainstay", "lab", "up", SYSTEM]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as up:
        time.sleep(seconds)
        up.kill()
    found = state.load(other.paths)
    if then == "up":
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert ok(other, "apple", "getent hosts pear").split()[0] == other.address("pear")
        found = other.state()
    other.down()
    assert found is None or traces(other, found.index) == []


def test_debian_13_boots_and_installs_nginx(other: Lab) -> None:
    other.provide(SYSTEM, [Wanted("staging", "apple", ("web",), 13)])
    assert ok(other, "apple", ". /etc/os-release; echo $VERSION_ID; systemctl is-system-running") == "13\nrunning"
    ok(other, "apple", "sudo apt-get -q update && sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install nginx")
    assert ok(other, "apple", "systemctl is-active nginx") == "active"


@pytest.mark.parametrize("words", [["up", SYSTEM], ["down"], ["kill", "apple"]])
def test_who_is_not_root_is_told_in_one_sentence(lab: Lab, words: list[str]) -> None:
    environment = {**os.environ, "MAINSTAY_LAB": lab.name, "HOME": "/nonexistent"}
    # In a user namespace of its own the command is nobody, and can still read its own files.
    command = ["unshare", "--user", sys.executable, "-m", "mainstay", "lab", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("mainstay: The lab cannot run here: ")
    assert "started as root. Without the lab these work: mainstay check, render" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_image_whose_building_was_killed_is_built_again() -> None:
    image, half_built = IMAGES / name("image"), f".{name('image')}."
    code = (
        "import subprocess, sys, time; from mainstay.lab.image import ensure\n"
        "def build(folder):\n"
        "    folder.mkdir(); subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', folder], check=True)\n"
        f"    print('begun', flush=True); time.sleep(60)\nensure({name('image')!r}, build, print)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout
        while builder.stdout.readline() != "begun\n":
            assert builder.poll() is None
        builder.kill()
    assert not image.exists()
    try:
        assert ensure(image.name, Path.mkdir, print) == image
        assert not any(path.name.startswith(half_built) for path in IMAGES.iterdir())
    finally:
        image.rmdir()


def test_status_as_json(lab: Lab) -> None:
    environment = {**os.environ, "MAINSTAY_LAB": lab.name}
    command = [sys.executable, "-m", "mainstay", "lab", "status", "--json"]
    shown = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert faults("lab", shown) == []
    assert [(host["name"], host["power"], host["plugged"]) for host in shown["hosts"]] == [
        ("apple", True, True),
        ("pear", True, True),
    ]


def _up_and_index(lab: Lab) -> int:
    lab.provide(SYSTEM, HOSTS)
    return lab.state().index


_FORWARD = Path("/proc/sys/net/ipv4/ip_forward").read_text()
