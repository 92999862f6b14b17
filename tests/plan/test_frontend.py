"""When a static release is published, and with which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploys.components.frontend.files import settings
from deploys.components.frontend.model import section
from deploys.operations import sites
from facts.frontend import LiveSite, Published, parse_site
from tests.plan.harness import Planned, plan
from tests.unit.inventories import copied, loaded, messages

BASE = "/srv/everydayai/frontend"
VALUES = {"VITE_API_BASE_URL": "https://api.everydayai.test/api"}


def planned(folder: Path, live: Published, values: dict[str, str] | None = None) -> Planned:
    environment = loaded(copied(folder))
    facts: dict[type, Any] = {LiveSite: live}
    where = {"environment": environment, "member": environment.hosts["eai-web-1"]}
    return plan(sites.published, BASE, "1.1.0", 7, values or VALUES, facts=facts, **where)


def test_what_is_live_stays(tmp_path: Path) -> None:
    assert planned(tmp_path, Published("1.1.0", sites.digest_of(VALUES))).commands == []


def test_another_version_goes_live(tmp_path: Path) -> None:
    result = planned(tmp_path, Published("1.0.0", sites.digest_of(VALUES)))
    digest = sites.digest_of(VALUES)
    assert result.commands == [
        f"/usr/local/lib/mainstay/publish r1 {BASE} 1.1.0 7 {digest} VITE_API_BASE_URL=https://api.everydayai.test/api"
    ]
    assert result.said == f"{BASE}/current: 1.0.0 -> 1.1.0\nirreversible: assets of 1.1.0 are served for 7 days"


def test_a_first_site_leaves_nothing_for_browsers(tmp_path: Path) -> None:
    assert planned(tmp_path, Published()).said == f"{BASE}/current: nothing -> 1.1.0"


def test_other_settings_fill_the_index_anew(tmp_path: Path) -> None:
    result = planned(tmp_path, Published("1.1.0", "of other settings"))
    assert result.said == f"{BASE}/current: 1.1.0, other settings"


@pytest.mark.covers("FE-05")
def test_the_index_names_the_environment_s_own_api(tmp_path: Path) -> None:
    for env, host in (("staging", "api.staging.everydayai.test"), ("production", "api.everydayai.test")):
        environment = loaded(copied(tmp_path / env), env)
        assert settings(environment, section(environment)) == {"VITE_API_BASE_URL": f"https://{host}/api"}


def test_an_unknown_placeholder_is_refused(tmp_path: Path) -> None:
    edit = ("system.yaml", "https://{api_domain}/api", "https://{host}/api")
    expected = "expected text with no placeholder but {domain} and {api_domain}"
    assert any(message.endswith(expected) for message in messages(copied(tmp_path, edit)))


def test_reads_what_is_live() -> None:
    assert parse_site(["releases/1.0.0", "abc"]) == Published("1.0.0", "abc")
    assert parse_site(["releases/1.0.0"]) == Published("1.0.0", "")
    assert parse_site([]) == Published()
