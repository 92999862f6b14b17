"""Static sites: a release goes live by one rename of a link, its assets before its index."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Generator, Mapping

from pyinfra import host
from pyinfra.api import operation

from deploys.operations.files import KIT
from facts.frontend import LiveSite
from mainstay import context
from mainstay.plan_notes import irreversible, note


@operation()
def published(
    base: str, version: str, keep_assets_days: int, settings: Mapping[str, str]
) -> Generator[str, None, None]:
    """Makes `version` live below `base`; the release must be on the host.

    Args:
        base: `/srv/<system>/<service>`.
        keep_assets_days: how long assets that no live release names any more stay.
        settings: what each %NAME% in the index becomes, as HTML; never a secret, every visitor reads it.
    """
    live = host.get_fact(LiveSite, base=base)
    digest = digest_of(settings)
    if (live.version, live.settings) == (version, digest):
        host.noop(f"{version} is live")
        return
    change = f"{live.version or 'nothing'} -> {version}" if live.version != version else f"{version}, other settings"
    note(f"{base}/current", change)
    if live.version not in ("", version):
        # A put-back takes the index back; browsers that have the new one go on asking for its assets.
        irreversible(f"assets of {version} are served for {keep_assets_days} days")
    words = [context.run_id() or "-", base, version, str(keep_assets_days), digest]
    words += [f"{name}={value}" for name, value in settings.items()]
    yield f"{KIT}/publish {' '.join(shlex.quote(word) for word in words)}"


def digest_of(settings: Mapping[str, str]) -> str:
    """SHA-256 (hex) of the settings, whatever their order."""
    text = "".join(f"{name}={value}\n" for name, value in sorted(settings.items()))
    return hashlib.sha256(text.encode()).hexdigest()
