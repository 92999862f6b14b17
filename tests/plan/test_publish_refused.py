"""A site in an object store: what its section cannot say, and what is said of it before any store is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay import outside
from tests.plan.published import BUCKET, CDN, PUBLISH, STORAGE, publish, storage
from tests.unit.inventories import Edit, copied, loaded, messages


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
