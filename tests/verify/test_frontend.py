"""The static site as a browser meets it: the pinned build, an index that is asked for anew, assets that stay."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploys.components.frontend.files import settings
from deploys.components.frontend.model import Section, section
from deploys.components.nginx import asking
from deploys.components.nginx import model as nginx
from deploys.components.nginx.asking import Answer
from deploys.components.release.files import base_of
from mainstay.inventory import Environment

ON_WEB = pytest.mark.roles("web")
ASSET = re.compile(r'["\'(](/assets/[^"\')?#]+)')


@pytest.fixture(scope="module")
def frontend(environment: Environment) -> Section:
    """The section; a site without a pinned release is not published yet."""
    return section(environment)


@pytest.fixture(scope="module")
def base(environment: Environment, frontend: Section) -> str:
    """The folder of the site."""
    return base_of(environment, environment.services[frontend.service])


def site_of(environment: Environment, frontend: Section) -> nginx.Site | None:
    """nginx's site of the frontend; a bucket may serve it alone."""
    sites = nginx.section(environment).sites.values()
    return next((site for site in sites if site.static == frontend.service), None)


@pytest.fixture(scope="module")
def ask(host: Any, environment: Environment, frontend: Section) -> Any:
    """Asks this very host for a path of the site; nothing where nginx serves none."""
    site = site_of(environment, frontend)
    if site is None:
        return None
    name = site.names(environment)[0]
    port = nginx.section(environment).https_port

    def asked(path: str) -> Answer:
        said = host.run(asking.curl(name, port, path))
        assert said.rc == 0, f"{path}: {said.stderr.strip()}"
        return asking.answer(said.stdout)

    return asked


def deployed(environment: Environment, frontend: Section) -> bool:
    return frontend.service in environment.releases and site_of(environment, frontend) is not None


@ON_WEB
@pytest.mark.covers("FE-02", "FE-06")
def test_serves_the_pinned_build(host: Any, ask: Any, environment: Environment, frontend: Section, base: str) -> None:
    if not deployed(environment, frontend):
        return
    version = environment.releases[frontend.service].version
    build = json.loads(host.file(f"{base}/releases/{version}/dist/build.json").content_string)["build"]
    answer = ask("/")
    assert answer.status == 200, f"/ answers {answer.status}"
    assert build in answer.body, f"/ does not name build {build} of {version}"


@ON_WEB
@pytest.mark.covers("FE-05")
def test_index_names_this_environment_s_api(ask: Any, environment: Environment, frontend: Section) -> None:
    if not deployed(environment, frontend):
        return
    body = ask("/").body
    for name, value in settings(environment, frontend).items():
        assert f"%{name}%" not in body, f"%{name}% was not filled in"
        assert value in body, f"{name}: {value} is not in the index"
        if name.endswith("API_BASE_URL"):
            parts = urlsplit(value)
            assert (parts.scheme, parts.hostname) == ("https", environment.api_domain), f"{name} is {value}"


@ON_WEB
@pytest.mark.covers("NX-02", "DF-71")
def test_index_is_asked_for_anew_and_assets_never(ask: Any, environment: Environment, frontend: Section) -> None:
    if not deployed(environment, frontend):
        return
    for path in ("/", "/index.html", "/some/route/of/the/app"):
        page = ask(path)
        found = page.headers.get("cache-control")
        assert (page.status, found) == (200, "no-cache"), f"{path} answers {page.status}, Cache-Control is {found}"
    assets = ASSET.findall(page.body)
    assert assets, "the index names no assets"
    for path in assets:
        asset = ask(path)
        assert asset.status == 200, f"{path} answers {asset.status}"
        found = asset.headers.get("cache-control", "none")
        assert found == "public, max-age=31536000, immutable", f"{path}: Cache-Control is {found}"
        assert "strict-transport-security" in asset.headers, f"{path} lacks Strict-Transport-Security"


@ON_WEB
@pytest.mark.covers("NX-03", "DF-70")
def test_index_names_what_browsers_are_to_fetch_at_once(
    host: Any, ask: Any, environment: Environment, frontend: Section
) -> None:
    site = site_of(environment, frontend)
    if site is None or not deployed(environment, frontend):
        return
    for path in ("/", "/index.html"):
        found = re.findall(r"<([^>]+)>; rel=preload", ask(path).headers.get("link", ""))
        assert found == site.preload, f"{path}: Link names {', '.join(found) or 'nothing'}"
    pushes = host.run("nginx -T 2>/dev/null | grep -c http2_push").stdout.strip()
    assert pushes == "0", "nginx pushes, which browsers do not take any more"


@ON_WEB
@pytest.mark.covers("DF-60")
def test_assets_of_the_release_before_are_still_served(host: Any, ask: Any, base: str) -> None:
    if ask is None:
        return
    before = host.run(f"cat {shlex.quote(base)}/previous/dist/index.html").stdout
    for path in ASSET.findall(before):
        status = ask(path).status
        assert status == 200, f"{path} of the release before answers {status}"


@ON_WEB
def test_a_missing_asset_is_not_the_index(ask: Any) -> None:
    if ask is None:
        return
    answer = ask("/assets/none.00000000.js")
    assert answer.status == 404, f"a missing asset answers {answer.status}"
    assert "immutable" not in answer.headers.get("cache-control", ""), "a missing asset would be cached for a year"
