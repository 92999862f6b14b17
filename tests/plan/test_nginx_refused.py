"""nginx before any host: what is refused, each in one sentence that names the key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mainstay.errors import InventoryError
from mainstay.inventory import load
from tests.unit.inventories import SHIPPED, SYSTEM, Edit, copied, messages


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("system.yaml", "static: frontend, proxy: {/api: backend}", "static: frontend, proxy: {/: backend}"),
            'nginx.sites.site.proxy["/"]: found a proxy for / beside static, expected one that answers /',
        ),
        (
            ("system.yaml", "proxy: {/api: backend}", "proxy: {/api: backend}, strip: [/apis]"),
            "nginx.sites.site.strip[0]: found '/apis', expected a prefix of proxy, other than /",
        ),
        (
            ("system.yaml", "proxy: {/: backend}", "proxy: {/: backend}, strip: [/]"),
            "nginx.sites.api.strip[0]: found '/', expected a prefix of proxy, other than /",
        ),
        (
            ("system.yaml", "metrics: {backend: /metrics}", "metrics: {backend: /}"),
            "monitoring.metrics.backend: found '/', expected a path below it: clients are refused it",
        ),
        (
            ("system.yaml", "    drain_s: 30", "    profile: {all: /}\n    drain_s: 30"),
            "services.backend.profile.all: found '/', expected a path below it: clients are refused it",
        ),
        (
            ("production.yaml", "\nhosts:", "\nnginx: {weights: {eai-web-1: 3}}\n\nhosts:"),
            "nginx.weights.eai-web-1: found eai-web-1, expected a host that a site's requests go to: eai-app-1, "
            "eai-app-2, eai-app-3",
        ),
        (
            ("system.yaml", "\nnginx:\n", "\nnginx:\n  content_security_policy: 'x\" always; y'\n"),
            "nginx.content_security_policy: found 'x\" always; y', expected a header's value without double quotes, "
            "backslashes and dollar signs",
        ),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, edit: Edit, message: str) -> None:
    assert message in messages(copied(tmp_path, edit))


def test_sites_need_a_host_that_serves_them(tmp_path: Path) -> None:
    """In a system whose one service runs on app hosts, so that nothing else misses the web host."""
    root = copied(tmp_path, ("production.yaml", "roles: [web]", "roles: [monitoring]"), system="toeic")
    with pytest.raises(InventoryError) as caught:
        load("toeic", "production", root=root, check_secrets=False)
    (problem,) = caught.value.problems
    assert str(problem).endswith(
        "nginx.sites: found api, which no host of toeic/production serves, expected a host with role web"
    )
    assert load("toeic", "staging", root=root, check_secrets=False).hosts_of("web")


def test_app_hosts_without_sites_need_no_web_host(tmp_path: Path) -> None:
    """There nginx has the canonical ports alone."""
    root = copied(tmp_path, ("production.yaml", "roles: [web]", "roles: [monitoring]"), system="toeic")
    path = root / "inventories/toeic/system.yaml"
    text, found = re.subn(r"(?m)^  sites:\n(    .*\n)+", "", path.read_text())
    assert found == 1
    path.write_text(text)
    assert load("toeic", "production", root=root, check_secrets=False).hosts_of("web") == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("system.yaml", "static: frontend, ", "static: frontend, preload: [/logo.bmp], "),
            "nginx.sites.site.preload[0]: found '/logo.bmp', expected the path of a file that ends with .css, .js, "
            ".mjs, .woff2",
        ),
        (
            ("system.yaml", "proxy: {/: backend}}", "proxy: {/: backend}, preload: [/a.js]}"),
            "nginx.sites.api.preload: found preload without static, expected an index whose header has it",
        ),
    ],
)
def test_a_preload_of_nothing_is_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    assert message in messages(copied(tmp_path, edit))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("system.yaml", "api: {server_names: ['{api_domain}']", "api: {server_names: ['{api_domain}', '{domain}']"),
            "nginx.sites.api.server_names[1]: found everydayai.test, which the site site has in production, "
            "expected a name of its own",
        ),
        (
            (
                "system.yaml",
                "static: frontend, proxy: {/api: backend}",
                "static: frontend, rate_limit: {enabled: true}",
            ),
            "nginx.sites.site.rate_limit.enabled: found true for a site without proxy, "
            "expected false, or a proxy: files are not limited",
        ),
    ],
)
def test_a_site_that_would_silently_not_work_is_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    assert messages(copied(tmp_path, edit)) == [message]


def test_two_sites_have_two_names_in_each_environment(tmp_path: Path) -> None:
    """Without an api_domain of its own the API has the site's."""
    text = (SHIPPED / SYSTEM / "production.yaml").read_text()
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("api_domain:"))
    root = copied(tmp_path, ("production.yaml", line, ""))
    assert [one.partition(":")[0] for one in messages(root)] == ["nginx.sites.api.server_names[0]"]
    assert messages(root, "staging") == []
