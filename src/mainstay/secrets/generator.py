"""How a secret is made: encoding, number of random bytes, least number of characters (CX-22)."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Encoding = Literal["hex", "base64", "urlsafe"]


class Generator(BaseModel):
    """What `mainstay secrets generate` makes for one secret; always a single line without a newline (DF-62).

    The runbooks ask for hex of 32 bytes (64 characters, SE-01), base64 of 64 bytes (88 characters, SE-02), or no less
    than 32 characters (EV-02).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoding: Encoding = "urlsafe"
    bytes: Annotated[int, Field(ge=16, le=1024)] = 32
    min_chars: Annotated[int, Field(ge=0)] = 0
    prefix: Annotated[
        str, Field(pattern=r"^[!-~]*$", description="stands before what is random: an URL's beginning")
    ] = ""

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.length < self.min_chars:
            made = f"{self.bytes} bytes as {self.encoding} are {self.length}"
            raise ValueError(f"min_chars no more than what the generator makes ({made})")
        return self

    @property
    def length(self) -> int:
        """Number of characters of each value that this generator makes."""
        return len(self.prefix + _encode(self.encoding, bytearray(self.bytes)))

    def generate(self) -> str:
        """A new random value from the operating system's own generator."""
        return self.prefix + _encode(self.encoding, secrets.token_bytes(self.bytes))


@dataclass(frozen=True)
class Needed:
    """A secret that an environment's inventory names, and how to make it.

    Attributes:
        generator: None where only its issuer can.
        stand_in: what one looks like that serves a lab, whoever issues the real one.
    """

    name: str
    generator: Generator | None
    stand_in: Generator = field(default_factory=Generator)


def _encode(encoding: Encoding, data: bytes | bytearray) -> str:
    if encoding == "hex":
        return data.hex()
    if encoding == "base64":
        return base64.b64encode(data).decode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
