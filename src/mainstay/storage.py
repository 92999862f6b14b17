"""The S3-compatible store of an environment, and the CDN before it, as this machine speaks to them (TP-01).

boto3 is imported where a client is made: it takes longer than most commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from mainstay.errors import InventoryError, UsageError
from mainstay.inventory import Environment

# What the lab's store is asked for, whatever the vendor: one region, and no names of buckets in DNS.
_LAB_REGION = "us-east-1"


@dataclass(frozen=True)
class Store:
    """One bucket.

    Attributes:
        endpoint: the vendor's S3-compatible interface; in the lab the lab's own.
        addressing: `virtual` (the bucket is a part of the host's name) or `path`.
        signature: `s3v4`, or `s3` where the vendor refuses V4 uploads in chunks.
        key_id, key: the credentials, opened only when a client is made; they are nowhere but in it.
    """

    environment: Environment
    bucket: str
    endpoint: str
    region: str
    addressing: str
    signature: str
    key_id: str
    key: str

    @classmethod
    def of(cls, environment: Environment, bucket: str | None = None) -> Self:
        """The store of the section `storage`; `bucket` is another one of the same account.

        Raises:
            InventoryError: the inventory has no such section, or it lacks what a client needs.
        """
        own = environment.common.storage
        problems = []
        if own is None:
            problems.append(environment.problem(("storage",), "no such section", "the store's address"))
        else:
            given = {"bucket": bucket or own.bucket, "key_id": own.key_id, "key": own.key}
            for name, value in given.items():
                if value is None:
                    expected = "the bucket's name" if name == "bucket" else "the name of the secret that holds it"
                    problems.append(environment.problem(("storage", name), "none", expected))
        if own is None or problems:
            raise InventoryError(problems)
        lab = environment.lab
        if lab is not None and not lab.store:
            raise UsageError(
                f"the lab {lab.name!r} has no object store, expected one: `mainstay lab up {environment.system}` has it"
            )
        place = (lab.store, _LAB_REGION, "path", "s3v4") if lab else (
            own.endpoint_url, own.region, own.addressing, own.signature
        )  # fmt: skip
        return cls(environment, bucket or own.bucket or "", *place, own.key_id or "", own.key or "")

    def client(self) -> Any:
        """A client of S3."""
        return self._client("s3", self.region, self.endpoint)

    def cdn(self) -> Any:
        """A client of CloudFront, whose interface is one for all regions."""
        return self._client("cloudfront", _LAB_REGION, self.endpoint if self.environment.lab else None)

    def link(self, key: str, seconds: int) -> str:
        """A URL by which one object can be read for so many seconds, without credentials."""
        found: str = self.client().generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )
        return found

    def _client(self, service: str, region: str, endpoint: str | None) -> Any:
        import boto3
        from botocore.config import Config

        # Since 1.36 boto3 adds checksums that stores of other vendors refuse.
        config = Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            signature_version=self.signature if service == "s3" else None,
            s3={"addressing_style": self.addressing},
            connect_timeout=10,
            read_timeout=60,
            retries={"max_attempts": 4, "mode": "standard"},
        )
        secrets = self.environment.secrets
        # The inventory's credentials, never those of whoever works at this machine.
        session = boto3.Session(
            aws_access_key_id=secrets.get(self.key_id).reveal(),
            aws_secret_access_key=secrets.get(self.key).reveal(),
            region_name=region,
        )
        return session.client(service, endpoint_url=endpoint, config=config)


def refusal(error: Exception) -> str:
    """What a store or a CDN said, in words for one sentence; no credentials are ever in it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        told = response.get("Error", {})
        return f"{told.get('Code', 'an error')}: {told.get('Message', '')}".strip(": ")
    return " ".join(str(error).split()) or type(error).__name__
