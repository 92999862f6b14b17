"""Debian 13: base and nginx from a bare host by one apply, verified, with what that release's nginx and sshd say."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.json_schema import faults
from tests.lab.laptop import Laptop

FIXTURE = Path(__file__).parent / "fixtures" / "trixie"
WEB, TARGET = "trixie-stg-web", "trixie/staging"


@pytest.fixture(scope="module")
def trixie(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A laptop whose lab has the web host of staging alone; the inventory says Debian 12, and the lab boots 13."""
    laptop = Laptop(tmp_path_factory.mktemp("trixie"), f"{lab}-trixie", Path("no-identity"))
    shutil.copytree(FIXTURE, laptop.project)
    assert laptop.mainstay("lab", "down").code == 0
    done = laptop.mainstay("lab", "up", "trixie", "--env", "staging", "--debian", "13")
    assert done.code == 0, done.text
    yield laptop
    assert laptop.mainstay("lab", "down").code == 0


def test_one_apply_from_a_bare_host_converges_and_is_verified(trixie: Laptop) -> None:
    found = trixie.mainstay("plan", TARGET, "--exit-code", "--json")
    assert found.code == 4, found.text
    assert faults("plan", found.json) == []
    done = trixie.mainstay("apply", TARGET, "--json")
    assert done.code == 0, done.text
    assert faults("apply", done.json) == []
    assert trixie.sh(WEB, ". /etc/os-release; echo $VERSION_ID") == "13\n"
    assert trixie.mainstay("plan", TARGET, "--exit-code").code == 0
    done = trixie.mainstay("verify", TARGET, "--json")
    assert done.code == 0, done.text
    assert faults("verify", done.json) == []
    assert {check["component"] for check in done.json["checks"]} >= {"base", "nginx"}


def test_nginx_of_that_release_has_nothing_to_complain_about(trixie: Laptop) -> None:
    """The directives that 1.22 wants are deprecated in 1.26: rendered for the host that is there, none is used."""
    assert trixie.sh(WEB, "nginx -v 2>&1").startswith("nginx version: nginx/1.26.")
    assert trixie.sh(WEB, "nginx -t -q 2>&1") == ""


def test_a_break_is_seen_and_brought_back_by_one_apply(trixie: Laptop) -> None:
    trixie.sh(WEB, "echo 'MaxAuthTries 9' > /etc/ssh/sshd_config.d/00-mainstay.conf; systemctl disable --now nginx")
    done = trixie.mainstay("verify", TARGET, "--json")
    assert done.code == 1
    failed = {check["check"] for check in done.json["checks"] if not check["ok"]}
    assert {"runs and starts at boot"} <= failed
    done = trixie.mainstay("apply", TARGET)
    assert done.code == 0, done.text


def test_production_is_not_in_this_lab_and_nobody_goes_there(trixie: Laptop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as real:
        real.settimeout(0)
        where = f"address: 127.0.0.1, ssh_port: {real.getsockname()[1]}"
        trixie.edit("production.yaml", "address: 198.51.100.11", where, system="trixie")
        done = trixie.mainstay("plan", "trixie/production")
        with pytest.raises(BlockingIOError):  # nobody has knocked
            real.accept()
    assert done.code == 1
    assert "trixie-web: " in done.text
    assert f"the lab '{trixie.lab}' has no such host; `mainstay lab up trixie` boots it" in done.text
