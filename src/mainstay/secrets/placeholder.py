"""What stands for a secret in rendered files, plans and output: `<secret NAME@version>`.

`<secret NAME@version sha256>` stands for the SHA-256 (hex) of its value, for files that hold no more than that.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
PLACEHOLDER = re.compile(rf"<secret (?P<name>{NAME.pattern})@(?P<version>[1-9][0-9]{{0,8}})(?P<form> sha256)?>")


def placeholder(name: str, version: int) -> str:
    """The placeholder of one version of a secret."""
    return f"<secret {name}@{version}>"
