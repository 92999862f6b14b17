"""A site in a bucket: what it serves now, which releases it still has, and what the runs did there.

Below the site's prefix stand its files, as browsers ask for them. Below `.mainstay/` stand `live.json`, which says what
is served, and for each of the last releases a folder with the files whose names stay: an index goes back by a copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploys.components.frontend.site import ASSETS, headers_of, turn
from mainstay.outside import OutsideError
from mainstay.storage import Store, refusal

RECORDS = ".mainstay/"
LIVE = f"{RECORDS}live.json"
SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class Release:
    """A published release: its version, the digest of its index's settings, and the ETag of each of its files.

    Without a version it is none: what is there before the first publication.
    """

    version: str = ""
    settings: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name of the folder of its files whose names stay."""
        return f"{self.version}-{self.settings[:12]}"

    @property
    def folder(self) -> str:
        """Where the files whose names stay are kept, for an index that goes back."""
        return f"{RECORDS}{self.id}/"

    @property
    def lasting(self) -> list[str]:
        """The files whose names stay, the index last."""
        return sorted((path for path in self.files if not path.startswith(ASSETS)), key=turn)

    @property
    def assets(self) -> list[str]:
        """The files whose names hold their content's hash."""
        return [path for path in self.files if path.startswith(ASSETS)]

    def same(self, other: Release) -> bool:
        """Whether it is that version with those settings."""
        return (self.version, self.settings) == (other.version, other.settings)

    def faults(self, objects: Mapping[str, str]) -> list[str]:
        """The files that are not there as they were published."""
        return [path for path, etag in self.files.items() if objects.get(path) != etag]

    def kept(self, objects: Mapping[str, str]) -> bool:
        """Whether it could be served again from what the store holds alone."""
        whole = all(objects.get(path) == self.files[path] for path in self.assets)
        return bool(self.version) and whole and all(self.folder + path in objects for path in self.lasting)


@dataclass(frozen=True)
class Live:
    """What is served, which run published it when, and what was served before.

    Attributes:
        told: whether the CDN was told.
        coming: what `run` is putting in the place of `release`; nothing where it is done.
        seen: by asset that the live release does not name, the last moment (UTC, ISO 8601) at which one named it.
        kept: the ids of the releases that could be served again, newest first.
    """

    release: Release = field(default_factory=Release)
    before: Release = field(default_factory=Release)
    run: str = ""
    when: str = ""
    told: bool = False
    coming: Release = field(default_factory=Release)
    seen: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def parse_live(text: str) -> Live:
    """Reads `live.json`; what is none counts as nothing that is served."""
    try:
        held = json.loads(text)
        releases = {name: Release(**held.pop(name)) for name in ("release", "before", "coming")}
        return Live(**held, **releases)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Live()


def parse_release(text: str) -> Release:
    """Reads a release's own record; what is none counts as no release."""
    try:
        return Release(**json.loads(text))
    except (ValueError, TypeError):
        return Release()


@dataclass(frozen=True)
class Bucket:
    """The store's client, and where in the bucket the site is."""

    store: Store
    prefix: str
    client: Any

    def _ask(self, verb: str, **words: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self.client, verb)(Bucket=self.store.bucket, **words)
        except (BotoCoreError, ClientError) as error:
            raise OutsideError(f"s3://{self.store.bucket}/{self.prefix}: {verb}: {refusal(error)}") from error

    def objects(self) -> dict[str, str]:
        """Every object of the site by its path, with its ETag."""
        found: dict[str, str] = {}
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=self.prefix, **more)
            for row in page.get("Contents", []):
                found[row["Key"].removeprefix(self.prefix)] = row["ETag"].strip('"')
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, path: str) -> str:
        """An object's text; empty where there is none."""
        return self.data(path).decode(errors="replace")

    def data(self, path: str) -> bytes:
        """An object's content; empty where there is none."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self.client.get_object(Bucket=self.store.bucket, Key=self.prefix + path)
            found: bytes = answer["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                return b""
            raise OutsideError(f"s3://{self.store.bucket}/{self.prefix}{path}: {refusal(error)}") from error
        except BotoCoreError as error:
            raise OutsideError(f"s3://{self.store.bucket}/{self.prefix}{path}: {refusal(error)}") from error
        return found

    def live(self) -> Live:
        """What it serves."""
        return parse_live(self.read(LIVE))

    def say(self, path: str, record: Live | Release) -> None:
        """Writes a record down."""
        text = json.dumps(asdict(record), sort_keys=True, indent=1) + "\n"
        self.put(path, text.encode(), path)

    def put(self, path: str, data: bytes, served_as: str) -> None:
        """Uploads one object with the headers of the file `served_as`."""
        self._ask("put_object", Key=self.prefix + path, Body=data, **headers_of(served_as))

    def copy(self, source: str, path: str) -> None:
        """Copies one object within the store, its headers with it."""
        key = f"{self.prefix}{source}"
        self._ask("copy_object", Key=self.prefix + path, CopySource={"Bucket": self.store.bucket, "Key": key})

    def headers(self, path: str) -> dict[str, str]:
        """`CacheControl` and `ContentType` of one object; empty where there is none."""
        try:
            found = self._ask("head_object", Key=self.prefix + path)
        except OutsideError:
            return {}
        return {name: str(found.get(name, "")) for name in ("CacheControl", "ContentType")}

    def remove(self, paths: Iterable[str]) -> None:
        """Deletes these objects; what is not there is no error."""
        for path in paths:
            self._ask("delete_object", Key=self.prefix + path)


def side_by_side(work: Any, items: Iterable[Any]) -> None:
    """Does the work for each item, several at a time; the first error ends it."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for _ in pool.map(work, items):
            pass


def now() -> str:
    """This moment, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
