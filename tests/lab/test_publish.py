"""A site that is published with a real run: last of all, once, and back with its hosts; the store is the lab's own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstay.inventory import Environment, load
from mainstay.inventory.stores import secrets_file
from mainstay.lab.lab import Lab
from mainstay.lab.store import PORT
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import create_identity
from mainstay.storage import Store
from tests.lab.bench import Bench
from workload import packing

FIXTURE = Path(__file__).parent / "fixtures" / "published"
SYSTEM, WEB, TARGET = "published", "published-web", "published/staging"
BUCKET, CDN = "published-site", "E2EXAMPLE51PUB"
KEY = "planted-key-5e1f0c"


class Site(Bench):
    """The bench, and what visitors of the store get."""

    def pin(self, version: str, name: str, **more: str) -> None:
        """Builds a release whose asset has that name, and pins it."""
        page = f'<script src="/assets/app.{name}.js"></script>{version}-{name} %VITE_API_BASE_URL%'
        files = {
            "index.html": page,
            f"assets/app.{name}.js": f"app('{name}')",
            "build.json": json.dumps({"build": f"{version}-{name}"}),
        }
        about = {"name": "site", "version": version, "kind": "static"}
        path = self.project / "artefacts" / f"published-site-{version}.tar"
        built = {f"dist/{name}": text.encode() for name, text in {**files, **more}.items()}
        path.write_bytes(packing.tar({"release.json": packing.json_of(about), **built}))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        pins = self.project / "inventories" / SYSTEM / "releases.yaml"
        held = json.loads(pins.read_text()) if pins.read_text().startswith("{") else {"releases": {}}
        release = held["releases"].setdefault("site", {"artefacts": {}})
        release["version"] = version
        release["artefacts"][version] = {"file": path.name, "sha256": digest}
        pins.write_text(json.dumps(held))

    def run(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """A command of the real thing with --json: its code, what it printed, and what it said beside."""
        done = self.mainstay(*words, "--json")
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr

    def rollout(self) -> tuple[int, dict[str, Any], str]:
        return self.run("rollout", SYSTEM, "--env", "staging")

    def asked(self, path: str) -> tuple[int, str, str]:
        """What the CDN is answered by its origin: status, Cache-Control, body."""
        from botocore.exceptions import ClientError

        client = Store.of(self.environment, BUCKET).client()
        try:
            found = client.get_object(Bucket=BUCKET, Key=f"app/{path}")
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"], "", ""
        return found["ResponseMetadata"]["HTTPStatusCode"], found["CacheControl"], found["Body"].read().decode()

    def told(self) -> list[str]:
        """Who told the CDN, by their references."""
        client = Store.of(self.environment, BUCKET).cdn()
        items = client.list_invalidations(DistributionId=CDN)["InvalidationList"].get("Items", [])
        found = [client.get_invalidation(DistributionId=CDN, Id=item["Id"])["Invalidation"] for item in items]
        return [one["InvalidationBatch"]["CallerReference"] for one in found]

    def on_host(self) -> str:
        """The release that nginx of the web host serves."""
        return self.sh(WEB, "basename $(readlink /srv/published/site/current)").strip()


@pytest.fixture(scope="module")
def site(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The web host, as an image leaves it, and the store."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(folder / "identity.txt"))
        patch.setenv("MAINSTAY_OPERATOR", "alex")
        create_identity(folder / "identity.txt")
        project = folder / "project"
        shutil.copytree(FIXTURE, project)
        (project / "artefacts").mkdir()
        for env in ("staging", "production"):
            SecretStore.open(secrets_file(project, SYSTEM, env)).update(
                {"STORE_KEY_ID": "planted-id", "STORE_KEY": KEY}
            )
        made = Site(project, f"{lab}-published", folder / "identity.txt", TARGET)
        made.pin("1.0.0", "aaaa1111")
        for words in (["down"], ["up", SYSTEM, "--env", "staging"]):
            done = made.mainstay("lab", *words)
            assert done.returncode == 0, done.stdout + done.stderr
        yield made
        assert made.mainstay("lab", "down").returncode == 0


@pytest.mark.covers("FE-03", "DF-60")
def test_a_first_rollout_publishes_last_and_leaves_nothing_to_do(site: Site) -> None:
    code, plan, _ = site.run("plan", TARGET, "--exit-code")
    assert code == 4 and plan["outside"] == {
        f"site in s3://{BUCKET}/app/": [
            "nothing -> 1.0.0",
            "upload assets/app.aaaa1111.js",
            "upload build.json",
            "upload index.html",
            "turn build.json",
            "turn index.html",
            f"invalidate /* on {CDN}",
        ]
    }
    code, done, said = site.rollout()
    assert code == 0, said
    (environment,) = done["environments"]
    assert [batch["role"] for batch in environment["batches"]] == ["all", f"site in s3://{BUCKET}/app/"]
    status, cache, page = site.asked("index.html")
    assert (status, cache) == (200, "no-cache") and "1.0.0-aaaa1111 https://staging.published.test/api" in page
    assert site.asked("assets/app.aaaa1111.js") == (200, "public, max-age=31536000, immutable", "app('aaaa1111')")
    assert len(site.told()) == 1 and site.on_host() == "1.0.0"
    assert site.run("plan", TARGET, "--exit-code")[0] == 0


def test_a_second_rollout_uploads_nothing_and_tells_nobody(site: Site) -> None:
    before = site.told()
    code, done, said = site.rollout()
    assert code == 0, said
    assert [batch["changes"] for batch in done["environments"][0]["batches"]] == [0, 0]
    assert site.told() == before


@pytest.mark.covers("FE-03")
def test_the_next_release_keeps_what_browsers_still_ask_for(site: Site) -> None:
    site.pin("1.1.0", "bbbb2222")
    code, _, said = site.rollout()
    assert code == 0, said
    assert "1.1.0-bbbb2222" in site.asked("index.html")[2]
    assert site.asked("assets/app.aaaa1111.js")[0] == 200 and len(site.told()) == 2


def test_verification_proves_the_store_too(site: Site) -> None:
    code, done, said = site.run("verify", TARGET, "--component", "frontend")
    assert code == 0, said
    name = f"site in s3://{BUCKET}/app/"
    assert {check["check"] for check in done["checks"] if check["host"] == name} >= {
        "the store serves the pinned release",
        "assets of the release before are still there",
        "the CDN was told",
    }
    client = Store.of(site.environment, BUCKET).client()
    client.delete_object(Bucket=BUCKET, Key="app/assets/app.bbbb2222.js")
    code, done, _ = site.run("verify", TARGET, "--component", "frontend")
    assert code == 1
    assert {check["check"] for check in done["checks"] if not check["ok"]} == {
        "every file is as it was published",
        "caches and types are told",
    }
    code, plan, _ = site.run("plan", TARGET)
    assert plan["outside"][name] == ["upload assets/app.bbbb2222.js", f"invalidate /* on {CDN}"]
    assert site.rollout()[0] == 0 and site.asked("assets/app.bbbb2222.js")[0] == 200


def test_a_cdn_that_refuses_puts_site_and_hosts_back(site: Site) -> None:
    site.pin("1.2.0", "cccc3333")
    # The lab's store makes what inventories name when hosts are booted, so this one is not there.
    with (site.project / "inventories" / SYSTEM / "staging.yaml").open("a") as own:
        own.write("frontend: {publish: {cdn: {distribution: E9NOTTHERE999}}}\n")
    code, done, _ = site.rollout()
    site.edit("staging.yaml", "frontend: {publish: {cdn: {distribution: E9NOTTHERE999}}}\n", "")
    assert code == 1
    (environment,) = done["environments"]
    assert environment["result"] == "incomplete", "of a CDN that does not answer nobody knows what it serves"
    assert "E9NOTTHERE999: NoSuchDistribution" in environment["reason"]
    backs = {back["host"]: back["ok"] for back in environment["put_back"]}
    assert backs == {f"site in s3://{BUCKET}/app/": False, WEB: True}
    assert "1.1.0-bbbb2222" in site.asked("index.html")[2] and site.on_host() == "1.1.0"
    site.pin("1.1.0", "bbbb2222")
    assert site.rollout()[0] == 0 and site.run("plan", TARGET, "--exit-code")[0] == 0


def test_a_store_that_does_not_answer_ends_a_run_before_it_begins(site: Site) -> None:
    site.pin("1.3.0", "dddd4444")
    link = Lab(site.lab).state().network.gateway_link
    block = ["ip", "netns", "exec", link, "nft"]
    lab = Lab(site.lab)
    assert lab.outside_exec(*block, "add table ip blocked").returncode == 0
    rule = "add chain ip blocked in { type filter hook input priority 0; }; add rule ip blocked in tcp dport"
    assert lab.outside_exec(*block, f"{rule} {PORT} reject").returncode == 0
    try:
        code, _, said = site.rollout()
    finally:
        lab.outside_exec(*block, "delete table ip blocked")
    assert code == 1 and f"s3://{BUCKET}/app/" in said, said
    assert site.on_host() == "1.1.0" and KEY not in said
    site.pin("1.1.0", "bbbb2222")


@pytest.mark.covers("RB-06")
def test_a_rollback_takes_the_site_with_it(site: Site) -> None:
    for name in ("1.0.0", "1.1.0"):  # from the hosts' and the store's own: nothing is uploaded again
        (site.project / "artefacts" / f"published-site-{name}.tar").rename(site.project / f"{name}.tar")
    code, done, said = site.run("rollback", TARGET, "--reason", "a test")
    assert code == 0, said
    assert "1.0.0-aaaa1111" in site.asked("index.html")[2] and site.on_host() == "1.0.0"
    assert done["environments"][0]["batches"][-1]["changes"] > 0 and done["seconds"] < 300


def test_credentials_are_nowhere(site: Site) -> None:
    seen = site.mainstay("plan", TARGET).stdout + site.mainstay("render", TARGET).stdout
    seen += site.sh(WEB, "grep -rl planted- /etc /srv /var/lib/mainstay 2>/dev/null; journalctl --no-pager -o cat")
    assert KEY not in seen and "planted-id" not in seen
    text = "\n".join(
        p.read_text(errors="replace") for p in site.project.rglob("*") if p.is_file() and p.suffix != ".tar"
    )
    assert KEY not in text
    environment: Environment = load(SYSTEM, "staging", root=site.project, lab=site.lab)
    assert KEY not in repr(Store.of(environment, BUCKET)) and "MAINSTAY_AGE_IDENTITY" in os.environ
