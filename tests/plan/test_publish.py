"""A site in an object store: against moto's S3 and CloudFront, as the lab has them, spoken to over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploys.components.frontend import bucket as buckets
from deploys.components.frontend.outside import Published
from mainstay.inventory import Environment, load
from mainstay.lab.overlay import HostOverlay, Overlay
from mainstay.outside import OutsideError
from mainstay.secrets import SecretStore
from tests.plan.published import BUCKET, CDN, PREFIX, built, index, of, pinned, publish, put, storage, told, wipe
from tests.unit.inventories import SYSTEM, copied
from tests.unit.secret_stores import new_identity
from tests.unit.serving import free_port, wait_until_serving

ONE, TWO = built("aaaa1111"), built("bbbb2222")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lab's store, on a port of this machine."""
    folder = tmp_path_factory.mktemp("store")
    file = folder / "store.json"
    file.write_text(json.dumps({"buckets": [BUCKET], "distributions": [CDN]}))
    port = free_port()
    argv = [sys.executable, "-m", "mainstay.lab.store_server", "127.0.0.1", str(port), str(file)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, text=True)
    try:
        wait_until_serving(process, port, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def base(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Production, in a lab that has nothing but the store."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        new_identity(folder, patch)
        root = copied(folder, storage(), publish())
        secrets = SecretStore.open(root / "inventories" / SYSTEM / "secrets.production.yaml")
        secrets.update({"STORE_KEY_ID": "planted-id-5e1f", "STORE_KEY": "planted-key-91c0"})
        (root / "artefacts").mkdir()
        env = load(SYSTEM, "production", root=root, check_secrets=False)  # others are no concern here
        places = {"production/none": HostOverlay("198.18.0.11", 22, 12)}
        yield replace(env, lab=Overlay("lab", Path("/k"), Path("/h"), places, [], endpoint))


@pytest.fixture
def one(base: Environment) -> Iterator[Environment]:
    """The first release, on an empty prefix."""
    env = pinned(base, "1.0.0", ONE)
    wipe(env)
    yield env
    wipe(env)


@pytest.mark.covers("FE-03", "DF-60")
def test_a_first_release_is_published_once(one: Environment) -> None:
    site_ = of(one)
    assert site_.name == f"frontend in s3://{BUCKET}/{PREFIX}"
    plan = site_.pending()
    assert plan[0] == "nothing -> 1.0.0"
    assert plan[1:] == [
        "upload assets/app.aaaa1111.js",
        "upload favicon.svg",
        "upload index.html",
        "turn favicon.svg",
        "turn index.html",
        f"invalidate /* on {CDN}",
    ]
    before = len(told(one))
    assert put(one, "r1") == 6
    assert "build aaaa1111 https://api.everydayai.test/api" in index(one)
    headers = {path: site_.bucket.headers(path) for path in ("index.html", "assets/app.aaaa1111.js", "favicon.svg")}
    assert headers == {
        "index.html": {"CacheControl": "no-cache", "ContentType": "text/html; charset=utf-8"},
        "assets/app.aaaa1111.js": {
            "CacheControl": "public, max-age=31536000, immutable",
            "ContentType": "text/javascript; charset=utf-8",
        },
        "favicon.svg": {"CacheControl": "no-cache", "ContentType": "image/svg+xml; charset=utf-8"},
    }
    assert len(told(one)) == before + 1
    assert site_.apply("r2") == 0 and len(told(one)) == before + 1, "a second time uploads and tells nothing"


@pytest.mark.covers("FE-03", "DF-60")
def test_the_next_release_leaves_old_assets_and_goes_back_by_a_copy(one: Environment) -> None:
    put(one, "r1")
    two = pinned(one, "1.1.0", TWO)
    assert of(two).pending()[0] == "1.0.0 -> 1.1.0"
    put(two, "r2")
    assert "build bbbb2222" in index(two)
    assert of(two).bucket.read("assets/app.aaaa1111.js") == "app('aaaa1111')"
    gone = replace(one, root=one.root / "nowhere")  # without its artefact: what the store kept is enough
    assert not any(line.startswith("upload") for line in of(gone).pending())
    put(gone, "r3")
    assert "build aaaa1111" in index(one)
    assert of(two).bucket.read("assets/app.bbbb2222.js") == "app('bbbb2222')"


def test_a_put_back_is_what_was_served_before(one: Environment) -> None:
    put(one, "r1")
    two = pinned(one, "1.1.0", {**TWO, "about.html": "new"})
    put(two, "r2")
    assert of(two).put_back("other") == [] and "bbbb2222" in index(two)
    before = len(told(two))
    assert of(two).put_back("r2") == []
    assert "build aaaa1111" in index(one) and of(one).bucket.read("about.html") == ""
    assert of(one).pending() == [] and of(one).bucket.read("assets/app.bbbb2222.js")
    assert len(told(two)) == before + 1
    assert of(two).put_back("r2") == [] and len(told(two)) == before + 1


def test_a_first_release_is_put_back_whole(one: Environment) -> None:
    put(one, "r1")
    assert of(one).put_back("r1") == []
    assert of(one).bucket.objects() == {}


def test_a_release_that_was_put_back_took_nobody_s_place(one: Environment, monkeypatch: Any) -> None:
    put(one, "r1")
    two = pinned(one, "1.1.0", TWO)
    put(two, "r2")

    def refuse(self: Published, reference: str) -> None:
        raise OutsideError("the CDN does not answer")

    for number in (3, 4, 5):
        worse = pinned(one, f"1.{number}.0", built(f"eeee000{number}"))
        with monkeypatch.context() as patch:
            patch.setattr(Published, "_tell", refuse)
            with pytest.raises(OutsideError):
                of(worse).apply(f"r{number}")
        assert of(worse).put_back(f"r{number}") == []
    assert [name.partition("-")[0] for name in of(one).bucket.live().kept] == ["1.1.0", "1.0.0"]
    gone = replace(one, root=one.root / "nowhere")
    put(gone, "r6")
    assert "build aaaa1111" in index(one)


class Cut(Exception):
    """The laptop went away."""


@pytest.mark.parametrize("after", range(1, 9))
def test_a_run_that_was_cut_off_is_finished_or_put_back(one: Environment, after: int, monkeypatch: Any) -> None:
    put(one, "r1")
    two = pinned(one, "1.1.0", TWO)
    asked = buckets.Bucket._ask
    left = iter(range(after))

    def cut(self: buckets.Bucket, verb: str, **words: Any) -> Any:
        if verb in ("put_object", "copy_object", "delete_object") and next(left, None) is None:
            raise Cut
        return asked(self, verb, **words)

    with monkeypatch.context() as patch:
        patch.setattr(buckets.Bucket, "_ask", cut)
        try:
            of(two).apply("r2")
        except Cut:
            pass
    if after % 2:
        assert of(two).put_back("r2") == []
        assert "build aaaa1111" in index(one)
        put(one, "r3")
        assert "build aaaa1111" in index(one)
    else:
        put(two, "r2")
        assert "build bbbb2222" in index(two)


def test_what_was_changed_by_hand_is_seen_and_mended(one: Environment) -> None:
    put(one, "r1")
    of(one).bucket.put("favicon.svg", b"planted", "favicon.svg")
    of(one).bucket.remove(["assets/app.aaaa1111.js"])
    assert [why for _, why in of(one).verify() if why]
    assert of(one).pending() == [
        "upload assets/app.aaaa1111.js",
        "turn favicon.svg",
        f"invalidate /* on {CDN}",
    ]
    put(one, "r2")
    assert of(one).bucket.read("favicon.svg") == "<svg/>"
    assert of(one).put_back("r2") == [] and "aaaa1111" in index(one), "a repair has nothing to take back"


def test_an_asset_whose_name_is_taken_is_refused(one: Environment) -> None:
    put(one, "r1")
    two = pinned(one, "1.1.0", {**TWO, "assets/app.aaaa1111.js": "other"})
    with pytest.raises(OutsideError, match=r"assets/app\.aaaa1111\.js differs from the one of an older release"):
        of(two).pending()


def test_somebody_else_s_site_is_refused(one: Environment) -> None:
    of(one).bucket.put("index.html", b"theirs", "index.html")
    with pytest.raises(OutsideError, match=r"found an index\.html that no run published, expected none at first"):
        of(one).apply("r1")
    assert index(one) == "theirs" and of(one).put_back("r1") == [] and index(one) == "theirs"


def test_old_assets_go_when_nobody_can_have_their_index(one: Environment) -> None:
    put(one, "r1")
    for number, name in enumerate(("1.1.0", "1.2.0", "1.3.0", "1.4.0"), start=2):
        put(pinned(one, name, built(f"cccc000{number}")), f"r{number}")
    bucket, live = of(one).bucket, of(one).bucket.live()
    assert bucket.read("assets/app.aaaa1111.js")
    assert [name.partition("-")[0] for name in live.kept] == ["1.4.0", "1.3.0", "1.2.0"]
    assert not [path for path in bucket.objects() if path.startswith(".mainstay/1.0.0-")]
    long_ago = dict.fromkeys(live.seen, "2020-01-01T00:00:00+00:00")
    bucket.say(buckets.LIVE, replace(live, seen=long_ago))
    put(pinned(one, "1.5.0", built("dddd9999")), "r9")
    assets = {path for path in bucket.objects() if path.startswith("assets/")}
    assert assets == {"assets/app.dddd9999.js", "assets/app.cccc0005.js"}


def test_a_store_that_refuses_is_one_sentence_without_credentials(one: Environment) -> None:
    nowhere = replace(one, lab=replace(one.lab, store="http://127.0.0.1:9"))  # type: ignore[type-var]
    with pytest.raises(OutsideError) as found:
        of(nowhere).pending()
    assert str(found.value).startswith(f"s3://{BUCKET}/{PREFIX}") and "planted" not in str(found.value)
