"""The program behind the lab's object store: moto's S3 and CloudFront, with what the inventories name in it.

    python -m mainstay.lab.store_server ADDRESS PORT FILE

FILE is JSON: `{"buckets": [...], "distributions": [...]}`. It is looked at before each request, so that a system that
is booted later finds its buckets too. What is stored is in memory, and goes with the lab.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from threading import Lock
from typing import Any

ACCOUNT, REGION = "123456789012", "us-east-1"

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Stocked:
    """A WSGI application that makes what FILE names, where it is not there, before it answers."""

    def __init__(self, app: App, file: Path) -> None:
        self._app, self._file, self._seen = app, file, 0.0
        self._lock = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answers a request."""
        changed = self._file.stat().st_mtime
        with self._lock:
            if changed != self._seen:
                stock(json.loads(self._file.read_text(encoding="utf-8")))
                self._seen = changed
        return self._app(environ, start_response)


def stock(wanted: dict[str, list[str]]) -> None:
    """Makes buckets and distributions by these names."""
    from moto.cloudfront.models import cloudfront_backends
    from moto.s3.models import s3_backends

    buckets: Any = s3_backends[ACCOUNT]["aws"]
    for name in wanted["buckets"]:
        if name not in buckets.buckets:
            buckets.create_bucket(name, REGION)
    cdn: Any = cloudfront_backends[ACCOUNT]["aws"]
    for name in wanted["distributions"]:
        if name not in cdn.distributions:
            distribution, *_ = cdn.create_distribution(deepcopy(_CONFIG), [])
            # moto gives each an id of its own; the inventory has the one that its operator's has.
            cdn.distributions[name] = cdn.distributions.pop(distribution.distribution_id)
            distribution.distribution_id = distribution.id = name


_CONFIG: dict[str, Any] = {
    "CallerReference": "lab",
    "Origins": {"Items": [{"Id": "store", "DomainName": "store.lab"}]},
    "DefaultCacheBehavior": {"TargetOriginId": "store", "ViewerProtocolPolicy": "allow-all"},
    "Comment": "",
    "Enabled": "true",
}


def main(address: str, port: str, file: str) -> None:
    """Serves until it is ended."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    app = Stocked(DomainDispatcherApplication(create_backend_app), Path(file))
    run_simple(address, int(port), app, threaded=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
