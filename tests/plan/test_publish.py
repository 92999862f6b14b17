"""A site in an object store: against moto's S3 and CloudFront, as the lab has them, spoken to over HTTP."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.frontend import bucket as buckets
from deploys.components.frontend import site
from deploys.components.frontend.outside import Published
from mainstay import outside
from mainstay.inventory import Artefact, Environment, Release
from mainstay.lab.outside import connects
from mainstay.lab.overlay import HostOverlay, Overlay
from mainstay.outside import OutsideError
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import VARIABLE, create_identity
from mainstay.storage import Store
from tests.unit.inventories import SYSTEM, Edit, copied, loaded, messages
from workload import packing

BUCKET, CDN = "everydayai-site", "E2EXAMPLE51PUB"
PREFIX = "app/"
STORAGE = (
    "storage:\n  provider: aws\n  region: eu-central-1\n  endpoint_url: https://s3.eu-central-1.amazonaws.com\n"
    "  key_id: STORE_KEY_ID\n  key: STORE_KEY\n"
)
PUBLISH = f"  publish: {{bucket: {BUCKET}, prefix: {PREFIX}, cdn: {{distribution: {CDN}}}}}\n"
DAY = 24 * 3600


def storage(text: str = STORAGE) -> Edit:
    """The shipped system, with another account in another store."""
    old = (Path(__file__).parents[2] / "inventories" / SYSTEM / "system.yaml").read_text()
    start = old.index("\nstorage:")
    return ("system.yaml", old[start : old.index("\nbackup:", start)], f"\n{text}")


def publish(text: str = PUBLISH) -> Edit:
    return ("system.yaml", "  service: frontend                             # seed\n", f"  service: frontend\n{text}")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lab's store, on a port of this machine."""
    folder = tmp_path_factory.mktemp("store")
    file = folder / "store.json"
    file.write_text(json.dumps({"buckets": [BUCKET], "distributions": [CDN]}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "mainstay.lab.store_server", "127.0.0.1", str(port), str(file)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not connects("127.0.0.1", port):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def base(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Production, in a lab that has nothing but the store."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder / "identity.txt"))
        create_identity(folder / "identity.txt")
        root = copied(folder, storage(), publish())
        secrets = SecretStore.open(root / "inventories" / SYSTEM / "secrets.production.yaml")
        secrets.update({"STORE_KEY_ID": "planted-id-5e1f", "STORE_KEY": "planted-key-91c0"})
        (root / "artefacts").mkdir()
        env = loaded_unchecked(root)
        places = {"production/none": HostOverlay("198.18.0.11", 22, 12)}
        yield replace(env, lab=Overlay("lab", Path("/k"), Path("/h"), places, [], endpoint))


def loaded_unchecked(root: Path) -> Environment:
    """Other secrets of the system are no concern here."""
    from mainstay.inventory import load

    return load(SYSTEM, "production", root=root, check_secrets=False)


def pinned(base: Environment, version: str, files: Mapping[str, str]) -> Environment:
    """The environment with a built frontend of that version."""
    path = base.root / "artefacts" / f"{SYSTEM}-frontend-{version}.tar"
    about = packing.json_of({"name": "frontend", "version": version})
    built = {f"dist/{name}": text.encode() for name, text in files.items()}
    path.write_bytes(packing.tar({"release.json": about, **built}))
    artefact = Artefact(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return replace(base, releases={"frontend": Release(version=version, artefacts={version: artefact})})


def built(name: str, **more: str) -> dict[str, str]:
    index = f'<script src="/assets/app.{name}.js"></script> build {name} %VITE_API_BASE_URL%'
    return {"index.html": index, f"assets/app.{name}.js": f"app('{name}')", "favicon.svg": "<svg/>", **more}


ONE, TWO = built("aaaa1111"), built("bbbb2222")


@pytest.fixture
def one(base: Environment) -> Iterator[Environment]:
    """The first release, on an empty prefix."""
    env = pinned(base, "1.0.0", ONE)
    wipe(env)
    yield env
    wipe(env)


def of(env: Environment) -> Published:
    (found,) = outside.of(env)
    assert isinstance(found, Published)
    # A client takes a quarter of a second to make.
    found.__dict__["bucket"] = _bucket(env, found)
    return found


_buckets: dict[str, buckets.Bucket] = {}


def _bucket(env: Environment, found: Published) -> buckets.Bucket:
    place = env.lab.store if env.lab else ""
    if place not in _buckets:
        _buckets[place] = found.bucket
    return _buckets[place]


def wipe(env: Environment) -> None:
    bucket = of(env).bucket
    bucket.remove(bucket.objects())


def put(env: Environment, run: str) -> int:
    """Publishes; afterwards nothing is left to do, and every check passes."""
    changes = of(env).apply(run)
    assert of(env).pending() == []
    assert [why for _, why in of(env).verify() if why] == []
    return changes


def told(env: Environment) -> list[str]:
    """What the CDN was told, by the references of those who told it."""
    client = Store.of(env, BUCKET).cdn()
    found = client.list_invalidations(DistributionId=CDN)["InvalidationList"].get("Items", [])
    batches = [client.get_invalidation(DistributionId=CDN, Id=item["Id"])["Invalidation"] for item in found]
    assert {batch["Status"].lower() for batch in batches} <= {"completed"}
    return [
        f"{batch['InvalidationBatch']['Paths']['Items']} {batch['InvalidationBatch']['CallerReference']}"
        for batch in batches
    ]


def index(env: Environment) -> str:
    return of(env).bucket.read("index.html")


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


# The section


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (
            [storage(""), publish()],
            "frontend.publish: found no section storage, expected one: it says where the bucket's account is",
        ),
        (
            [storage(STORAGE.replace("  key: STORE_KEY\n", "")), publish()],
            "storage.key_id: found no key_id or no key, expected the names of the secrets that hold both",
        ),
        (
            [storage(f"{STORAGE}  bucket: {BUCKET}\n"), publish()],
            f"frontend.publish.bucket: found {BUCKET}, which storage.bucket is, expected a bucket of its own: "
            "everybody reads this one",
        ),
        (
            [
                storage(
                    STORAGE.replace("aws", "oss")
                    .replace("eu-central-1", "cn-hangzhou")
                    .replace("https://s3.cn-hangzhou.amazonaws.com", "https://s3.oss-cn-hangzhou.aliyuncs.com")
                    + "  signature: s3\n"
                ),
                publish(),
            ],
            "frontend.publish.cdn: found a CloudFront distribution, expected none: oss has a CDN of its own, which "
            "asks anew for what is no-cache",
        ),
        (
            [storage(), publish(PUBLISH.replace(CDN, "yours"))],
            "frontend.publish.cdn.distribution: found 'yours', expected the id of a CloudFront distribution such as "
            "E2EXAMPLE51PUB",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_store(tmp_path: Path, edits: list[Edit], message: str) -> None:
    assert message in messages(copied(tmp_path, *edits))


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://s3.us-east-1.amazonaws.com", "https://s3.eu-central-1.amazonaws.com, which aws in eu-central-1 has"),
        (
            "https://oss-cn-hangzhou.aliyuncs.com",
            "https://s3.eu-central-1.amazonaws.com, which aws in eu-central-1 has",
        ),
    ],
)
def test_an_endpoint_of_another_vendor_or_region_is_refused(tmp_path: Path, endpoint: str, expected: str) -> None:
    wrong = STORAGE.replace("https://s3.eu-central-1.amazonaws.com", endpoint)
    found = messages(copied(tmp_path, storage(wrong), publish()))
    assert f"storage.endpoint_url: found {endpoint}, expected {expected}" in found


def test_without_the_section_nothing_is_outside(tmp_path: Path) -> None:
    assert outside.of(loaded(copied(tmp_path))) == []


# Pure parts


@given(st.text())
def test_whatever_a_record_holds_is_read(text: str) -> None:
    assert buckets.parse_live(text) == buckets.Live()
    assert buckets.parse_release(text) == buckets.Release()


@given(st.lists(st.from_regex(r"(assets/)?[a-z]{1,8}\.[a-z]{2,5}", fullmatch=True)))
def test_an_index_comes_last_and_assets_first(paths: list[str]) -> None:
    found = sorted([*paths, "index.html"], key=site.turn)
    assert found[-1] == "index.html"
    kinds = [path.startswith("assets/") for path in found]
    assert kinds == sorted(kinds, reverse=True)
    assert all((site.headers_of(path)["CacheControl"] == site.FOR_EVER) == path.startswith("assets/") for path in paths)
