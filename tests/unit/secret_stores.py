"""What the tests of secrets share: a store with an identity of its own, and a value to look for."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mainstay.secrets import SecretStore
from mainstay.secrets.identity import create_identity
from mainstay.secrets.masking import MIN_CHARS

PLANTED = "Tr0ub4dor&3 'quoted' \"value\"/+=%$`\\"
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
values = st.text(
    alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=MIN_CHARS, max_size=60
).filter(lambda text: text.strip())


def new_identity(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An age identity below `folder`, which the store uses from now on."""
    path = folder / "identity.txt"
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(path))
    create_identity(path)
    return path


def new_store(folder: Path) -> SecretStore:
    """An empty store below `folder`."""
    return SecretStore.open(folder / "secrets.staging.yaml")


def blocks(path: Path) -> dict[str, str]:
    """Each secret's lines in the file, by name."""
    parts = re.split(r"^  (?=[A-Z])", path.read_text(), flags=re.MULTILINE)[1:]
    return {part.partition(":")[0]: part.rstrip("\n") for part in parts}


def everything(error: BaseException) -> str:
    """All that a handler could print of an exception: text, repr, chain, traceback."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None:
        chain += [str(current), repr(current), repr(current.args)]
        current = current.__cause__ or current.__context__
    return "\n".join([*chain, *traceback.format_exception(error)])
