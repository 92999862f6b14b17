"""The site in an object store, with a CDN before it: assets first, index last, old assets kept for a while (DF-60)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from deploys.components.frontend import bucket as buckets
from deploys.components.frontend import site
from deploys.components.frontend.bucket import LIVE, Bucket, Live, Release
from deploys.components.frontend.files import settings
from deploys.components.frontend.model import Publish, section
from deploys.operations.releases import describe
from deploys.operations.sites import digest_of
from mainstay.inventory import Environment
from mainstay.outside import Outside, OutsideError
from mainstay.storage import Store, refusal

TOLD_S, POLL_S = 300, 3


def outside(environment: Environment) -> list[Outside]:
    """The published site, where the inventory publishes one that has a release pinned."""
    frontend = section(environment)
    if frontend.publish is None or frontend.service not in environment.releases:
        return []
    return [Published(environment, frontend.publish)]


@dataclass(frozen=True)
class Work:
    """What is to be done: files that are uploaded (to which path of the site), and what follows them.

    `turns`: files whose names stay and that change, the index last. `gone`: those that only the release before has.
    """

    wanted: Release
    changes: bool = False
    uploads: list[site.File] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    tells: bool = False

    def __bool__(self) -> bool:
        return self.changes or self.tells


class Published:
    """One site in one bucket."""

    def __init__(self, environment: Environment, publish: Publish) -> None:
        self.environment = environment
        self.publish = publish
        self.service = section(environment).service

    @property
    def name(self) -> str:
        """The service, and where it is published."""
        return f"{self.service} in s3://{self.publish.bucket}/{self.publish.prefix}"

    @property
    def component(self) -> str:
        """The stem."""
        return "frontend"

    @property
    def hosts(self) -> list[str]:
        """The hosts of the service's role: they have the release, and by it rollbacks and holds are decided."""
        role = self.environment.services[self.service].role
        return [host.name for host in self.environment.hosts_of(role)]

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket, with a client."""
        store = Store.of(self.environment, self.publish.bucket)
        return Bucket(store, self.publish.prefix, store.client())

    @property
    def wanted(self) -> Release:
        """The pinned version with this environment's settings, its files not known yet."""
        values = settings(self.environment, section(self.environment))
        return Release(self.environment.releases[self.service].version, digest_of(values))

    def pending(self) -> list[str]:
        """What would be uploaded, copied, removed, and told to the CDN."""
        live, objects = self.bucket.live(), self.bucket.objects()
        work = self._work(live, objects)
        if not work:
            return []
        lines = [f"upload {file.path}" for file in work.uploads]
        lines += [f"turn {path}" for path in work.turns]
        lines += [f"remove {path}" for path in work.gone]
        if work.tells and self.publish.cdn:
            lines.append(f"invalidate {' '.join(self.publish.cdn.invalidate)} on {self.publish.cdn.distribution}")
        changed = not live.release.same(work.wanted)
        return [f"{live.release.version or 'nothing'} -> {work.wanted.version}", *lines] if changed else lines

    def _work(self, live: Live, objects: Mapping[str, str]) -> Work:
        """What differs between what is there and what is wanted.

        Raises:
            OutsideError: somebody else's site is there.
            UsageError: the artefact is needed and not on this machine, or is another one.
        """
        wanted, cdn = self.wanted, self.publish.cdn is not None
        if live == Live() and site.INDEX in objects:
            raise OutsideError(f"{self.name}: found an {site.INDEX} that no run published, expected none at first")
        if live.release.same(wanted) and not live.release.faults(objects) and not live.coming.version:
            return Work(live.release, tells=cdn and not live.told)
        kept = buckets.parse_release(self.bucket.read(f"{wanted.folder}release.json"))
        if kept.same(wanted) and kept.kept(objects):
            uploads: list[site.File] = []
        else:
            uploads = self._built()
            kept = replace(wanted, files={file.path: file.md5 for file in uploads})
        turns = [path for path in kept.lasting if objects.get(path) != kept.files[path]]
        old = {*live.release.lasting, *live.coming.lasting}
        gone = sorted(path for path in old if path not in kept.files and path in objects)
        lacking = [file for file in uploads if self._lacks(file, kept, objects)]
        return Work(kept, True, lacking, turns, gone, cdn)

    def _lacks(self, file: site.File, wanted: Release, objects: Mapping[str, str]) -> bool:
        """Whether the file must come from this machine; an asset whose name is taken by other content is refused."""
        if not file.path.startswith(site.ASSETS):
            return objects.get(wanted.folder + file.path) != file.md5
        found = objects.get(file.path)
        if found is not None and found != file.md5 and self.bucket.data(file.path) != file.data:
            raise OutsideError(
                f"{self.name}: {file.path} differs from the one of an older release: browsers keep that one for a year"
            )
        return found is None

    def _built(self) -> list[site.File]:
        pin = self.environment.releases[self.service]
        artefact = self.environment.root / "artefacts" / pin.artefact.file
        describe(artefact, pin.artefact.sha256)
        return site.read(artefact, settings(self.environment, section(self.environment)))

    def apply(self, run: str) -> int:
        """Uploads what is missing, turns the index, then tells the CDN."""
        live, objects = self.bucket.live(), self.bucket.objects()
        work = self._work(live, objects)
        if not work:
            return 0
        if work.changes:
            live = self._turn(run, live, work)
        if work.tells:
            self._tell(f"{run}-{live.release.id}")
        # Old ones go when all is done: a release that is put back took nobody's place.
        self.bucket.say(LIVE, replace(self._clean(live), told=True))
        return len(work.uploads) + len(work.turns) + len(work.gone) + work.tells

    def _turn(self, run: str, live: Live, work: Work) -> Live:
        """Everything but the CDN; what is served now."""
        wanted, store = work.wanted, self.bucket

        def upload(file: site.File) -> None:
            asset = file.path.startswith(site.ASSETS)
            store.put(file.path if asset else wanted.folder + file.path, file.data, file.path)

        buckets.side_by_side(upload, work.uploads)
        store.say(f"{wanted.folder}release.json", wanted)
        # From here on a put-back has something to do: whoever makes it reads here what this run was about.
        store.say(LIVE, replace(live, run=run if not live.release.same(wanted) else live.run, coming=wanted))
        for path in work.turns:
            store.copy(wanted.folder + path, path)
        store.remove(work.gone)
        found = store.objects()
        served = replace(wanted, files={path: found.get(path, "") for path in wanted.files})
        store.say(f"{wanted.folder}release.json", served)
        again = live.release.same(wanted)
        turned = Live(
            release=served,
            before=live.before if again else live.release,
            run=live.run if again else run,
            when=buckets.now(),
            seen=self._seen(live, served),
            kept=[served.id, *(name for name in live.kept if name != served.id)],
        )
        store.say(LIVE, turned)
        return turned

    def _seen(self, live: Live, served: Release) -> dict[str, str]:
        """When each asset that is not served any more was last named by a release that was."""
        named = {**live.seen, **dict.fromkeys([*live.release.assets, *live.coming.assets], buckets.now())}
        return {path: moment for path, moment in named.items() if path not in served.files}

    def _clean(self, live: Live) -> Live:
        """Without assets whose index nobody can have any more, and without releases too old to go back to."""
        days = timedelta(days=section(self.environment).keep_assets_days)
        past = (datetime.now(UTC) - days).isoformat(timespec="seconds")
        old = [path for path, moment in live.seen.items() if moment < past and path not in live.before.files]
        keep = self.environment.services[self.service].keep_releases
        kept = [name for i, name in enumerate(live.kept) if i < keep or name == live.before.id]
        folders = tuple(f"{buckets.RECORDS}{name}/" for name in live.kept if name not in kept)
        objects = self.bucket.objects() if folders else {}
        self.bucket.remove([*old, *(path for path in objects if path.startswith(folders))])
        return replace(live, seen={p: moment for p, moment in live.seen.items() if p not in old}, kept=kept)

    def _tell(self, reference: str) -> None:
        """Has the CDN forget what it kept, and waits until it did."""
        cdn = self.publish.cdn
        if cdn is None:
            return
        from botocore.exceptions import BotoCoreError, ClientError

        batch = {
            "Paths": {"Quantity": len(cdn.invalidate), "Items": list(cdn.invalidate)},
            "CallerReference": reference,
        }
        try:
            client = self.bucket.store.cdn()
            made = client.create_invalidation(DistributionId=cdn.distribution, InvalidationBatch=batch)["Invalidation"]
            until = time.monotonic() + TOLD_S
            while not _completed(made) and time.monotonic() < until:
                time.sleep(POLL_S)
                made = client.get_invalidation(DistributionId=cdn.distribution, Id=made["Id"])["Invalidation"]
        except (BotoCoreError, ClientError) as error:
            raise OutsideError(f"{self.name}: CloudFront {cdn.distribution}: {refusal(error)}") from error
        if not _completed(made):
            raise OutsideError(f"{self.name}: CloudFront {cdn.distribution} did not invalidate within {TOLD_S} s")

    def verify(self) -> list[tuple[str, str]]:
        """What a visitor and the next release rely on."""
        live, objects = self.bucket.live(), self.bucket.objects()
        served = live.release.same(self.wanted)
        found = f"{live.release.version or 'nothing'}, expected {self.wanted.version} with this environment's settings"
        lost = live.release.faults(objects)
        missing = [path for path in live.before.assets if path not in objects]
        return [
            ("the store serves the pinned release", "" if served else f"serves {found}"),
            ("every file is as it was published", f"{lost[0]} is not" if lost else ""),
            ("caches and types are told", self._headers(live.release)),
            ("assets of the release before are still there", f"{missing[0]} is gone" if missing else ""),
            ("the index is this environment's", self._index()),
            ("the CDN was told", "" if live.told or self.publish.cdn is None else "it was not"),
        ]

    def _index(self) -> str:
        """What the index lacks of this environment's settings."""
        text = self.bucket.read(site.INDEX)
        values = settings(self.environment, section(self.environment))
        lacking = [name for name, value in values.items() if f"%{name}%" in text or value not in text]
        return f"{lacking[0]} is not in it" if lacking else ""

    def _headers(self, release: Release) -> str:
        """The first file whose headers are not what they should be."""
        wrong: list[str] = []

        def look(path: str) -> None:
            found, wanted = self.bucket.headers(path), site.headers_of(path)
            wrong.extend(
                f"{path}: {k} is {found.get(k)!r}, expected {v!r}" for k, v in wanted.items() if found.get(k) != v
            )

        buckets.side_by_side(look, release.files)
        return min(wrong, default="")

    def put_back(self, run: str) -> list[str]:
        """The release before, from what the store kept; of a first one, nothing stays."""
        live, objects = self.bucket.live(), self.bucket.objects()
        if live.run != run:
            return []
        # Cut off half-way, the record still names what was served; else it names what was served before.
        target, undone = (live.release, live.coming) if live.coming.version else (live.before, live.release)
        if target.version and not target.kept(objects):
            return [f"{self.name}: {target.version} is not whole in the store; publish it again from its artefact"]
        if not target.version:
            self.bucket.remove([*reversed(undone.lasting), *undone.assets])
            self._tell(f"{run}-back")
            # The record last: as long as it is there, what is left can be taken away by another put-back.
            self.bucket.remove(sorted((path for path in objects if path.startswith(buckets.RECORDS)), key=LIVE.__eq__))
            return []
        for path in target.lasting:
            self.bucket.copy(target.folder + path, path)
        self.bucket.remove(path for path in undone.lasting if path not in target.files)
        # Assets of what was undone stay for browsers that have its index.
        seen = {**live.seen, **dict.fromkeys(undone.assets, buckets.now())}
        seen = {path: moment for path, moment in seen.items() if path not in target.files}
        kept = [name for name in live.kept if name != undone.id or undone.same(target)]
        back = Live(target, Release(), f"{run} put back", buckets.now(), seen=seen, kept=kept)
        self.bucket.say(LIVE, back)
        self._tell(f"{run}-back")
        self.bucket.say(LIVE, replace(back, told=True))
        return []


def _completed(invalidation: Mapping[str, Any]) -> bool:
    return str(invalidation.get("Status", "")).lower() == "completed"
