"""A site in an object store, as tests publish it: the shipped system's, in the lab's store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from deploys.components.frontend import bucket as buckets
from deploys.components.frontend.outside import Published
from mainstay import outside
from mainstay.inventory import Artefact, Environment, Release
from mainstay.storage import Store
from tests.unit.inventories import SHIPPED, SYSTEM, Edit
from workload import packing

BUCKET, CDN = "everydayai-site", "E2EXAMPLE51PUB"
PREFIX = "app/"
STORAGE = (
    "storage:\n  provider: aws\n  region: eu-central-1\n  endpoint_url: https://s3.eu-central-1.amazonaws.com\n"
    "  key_id: STORE_KEY_ID\n  key: STORE_KEY\n"
)
PUBLISH = f"  publish: {{bucket: {BUCKET}, prefix: {PREFIX}, cdn: {{distribution: {CDN}}}}}\n"


_buckets: dict[str, buckets.Bucket] = {}


def storage(text: str = STORAGE) -> Edit:
    """The shipped system, with another account in another store."""
    old = (SHIPPED / SYSTEM / "system.yaml").read_text()
    start = old.index("\nstorage:")
    return ("system.yaml", old[start : old.index("\nbackup:", start)], f"\n{text}")


def publish(text: str = PUBLISH) -> Edit:
    """Its site in a bucket."""
    return ("system.yaml", "  service: frontend                             # seed\n", f"  service: frontend\n{text}")


def pinned(base: Environment, version: str, files: Mapping[str, str]) -> Environment:
    """The environment with a built frontend of that version."""
    path = base.root / "artefacts" / f"{SYSTEM}-frontend-{version}.tar"
    about = packing.json_of({"name": "frontend", "version": version})
    built = {f"dist/{name}": text.encode() for name, text in files.items()}
    path.write_bytes(packing.tar({"release.json": about, **built}))
    artefact = Artefact(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return replace(base, releases={"frontend": Release(version=version, artefacts={version: artefact})})


def built(name: str, **more: str) -> dict[str, str]:
    """What a build gives, by path: an index that names an asset of its own, and what keeps its name."""
    index = f'<script src="/assets/app.{name}.js"></script> build {name} %VITE_API_BASE_URL%'
    return {"index.html": index, f"assets/app.{name}.js": f"app('{name}')", "favicon.svg": "<svg/>", **more}


def of(env: Environment) -> Published:
    """The site; all that stand in one store share a client of it."""
    (found,) = outside.of(env)
    assert isinstance(found, Published)
    place = env.lab.store if env.lab else ""
    if place not in _buckets:
        _buckets[place] = found.bucket  # a client takes a quarter of a second to make
    found.__dict__["bucket"] = _buckets[place]
    return found


def wipe(env: Environment) -> None:
    """Empties its prefix."""
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
    """What browsers get first."""
    return of(env).bucket.read("index.html")
