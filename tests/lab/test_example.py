"""What `mainstay init` writes, by the commands of its own README: from nothing to a short link that is followed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mainstay.lab.lab import Lab

HOSTS = ("shop-stg-1", "shop-1")


@dataclass(frozen=True)
class Shop:
    """The project, and the surroundings of its operator's shell."""

    folder: Path
    env: dict[str, str]

    def shell(self, commands: str) -> str:
        """What commands print that were typed in the project's folder."""
        done = subprocess.run(
            ["bash", "-euc", commands], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def on(self, host: str, script: str) -> str:
        """What a script prints as root on a host."""
        done = Lab(self.env["MAINSTAY_LAB"]).inside(host, "bash", "-c", script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, name: str, path: str, options: str = "") -> str:
        """Head and body of what staging answers."""
        resolve = f"--resolve {name}:443:127.0.0.1"
        return self.on(HOSTS[0], f"curl -sSki --http1.1 --max-time 10 {resolve} {options} https://{name}{path}")


@pytest.fixture(scope="module")
def shop(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """`mainstay init shop`, and no host yet."""
    folder = tmp_path_factory.mktemp("example")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
    own = {
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "MAINSTAY_LAB": f"{lab}-example",
        "MAINSTAY_AGE_IDENTITY": str(folder / "identity.txt"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    shop = Shop(folder / "shop", kept | own)
    subprocess.run(["mainstay", "init", "shop"], cwd=folder, env=shop.env, check=True, capture_output=True)
    shop.shell("mainstay lab down")
    yield shop
    shop.shell("mainstay lab down")


def blocks(shop: Shop) -> list[str]:
    """The commands of the README, one text a block."""
    text = (shop.folder / "README.md").read_text()
    return re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)


@pytest.fixture(scope="module")
def rolled_out(shop: Shop) -> str:
    """What the README's first five commands print; both environments are verified then."""
    return shop.shell(blocks(shop)[0])


def test_the_readme_rolls_it_out(shop: Shop, rolled_out: str) -> None:
    assert "shop: ok (staging 1 hosts, production 1 hosts)" in rolled_out
    for env in ("staging", "production"):
        assert re.search(rf"^shop/{env}: verified", rolled_out, re.MULTILINE), rolled_out
        shop.shell(f"mainstay --lab plan shop/{env} --exit-code")


def test_a_link_is_made_followed_and_counted(shop: Shop, rolled_out: str) -> None:
    code = json.loads(shop.shell(blocks(shop)[1]))["code"]
    for _ in range(2):
        assert re.search(r"^location: https://example\.org\s*$", shop.ask("staging.shop.test", f"/{code}"), re.M | re.I)
    token = shop.shell("mainstay secrets get shop/staging ADMIN_TOKEN")
    listed = shop.ask("admin.staging.shop.test", "/links", f"-H 'Authorization: Bearer {token}'").splitlines()[-1]
    assert {"code": code, "target": "https://example.org", "visits": 2} in json.loads(listed)
    assert " 401 " in shop.ask("admin.staging.shop.test", "/links").splitlines()[0]
    assert " 404 " in shop.ask("staging.shop.test", "/links").splitlines()[0], "only the admin's name lists them"


def test_its_two_databases_hold_what_they_are_for(shop: Shop, rolled_out: str) -> None:
    def tables(database: str) -> str:
        query = "SELECT schemaname || '.' || tablename || ' ' || tableowner FROM pg_tables WHERE tableowner ~ '^shop'"
        return shop.on(HOSTS[0], f'cd /; runuser -u postgres -- psql -Atqc "{query}" {database}').strip()

    assert tables("shop_links") == "shop_app.links shop_app"
    assert tables("shop_visits") == "shop_app.visits shop_app"


def test_its_own_panel_is_measured(shop: Shop, rolled_out: str) -> None:
    page = shop.on(HOSTS[0], "curl -sS http://127.0.0.1:9090/consoles/business-metrics.html")
    panel = page.split('data-title="Links followed, each minute"')[1].split("</section>")[0]
    assert "no data" not in panel, panel
