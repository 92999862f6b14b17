"""The file of secrets: damaged in any way it is one sentence; generators and ages."""

from __future__ import annotations

import re
import stat
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mainstay.errors import SecretError
from mainstay.secrets import Entry, Generator, Needed, SecretStore
from mainstay.secrets.document import parse
from tests.unit.secret_stores import PLANTED, everything, new_identity, new_store


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_identity(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path, identity: Path) -> SecretStore:
    return new_store(tmp_path)


HEADER = "recipients:\n  - age1abc\nsecrets:\n"
BLOCK = "-----BEGIN AGE ENCRYPTED FILE-----\n      AAAA\n      -----END AGE ENCRYPTED FILE-----\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: the file: found something else, expected recipients and secrets"),
        ("recipients: [\n", "f.yaml: line 2 is not valid YAML"),
        ("<<<<<<< HEAD\nrecipients: []\n", "f.yaml: line 2 is not valid YAML"),
        ("\x01", "f.yaml: not valid YAML, restore the file from git or a backup"),
        ("secrets: {}\n", "f.yaml: recipients: found nothing, expected a list of age1... or ssh- public keys"),
        ("recipients: []\nother: 1\n", "f.yaml: other: found this key, expected only recipients, secrets"),
        (HEADER + "  A: Tr0ub4dor\n", "f.yaml: secrets.A: found something else, expected"),
        (
            HEADER + "  A: {version: 1, created: 2026-11-22}\n",
            "f.yaml: secrets.A.value: found nothing, expected an arm",
        ),
        (
            HEADER + "  A:\n    version: 1\n    created: 2026-11-22\n    value: 'Tr0ub4dor'\n",
            "f.yaml: secrets.A.value: found something else, expected an armored age block",
        ),
        (
            HEADER + f"  A:\n    version: 0\n    created: 2026-11-22\n    value: |\n      {BLOCK}",
            "f.yaml: secrets.A.version: found something else, expected a whole number of 1 or more",
        ),
        (
            HEADER + f"  A:\n    version: 1\n    created: soon\n    value: |\n      {BLOCK}",
            "f.yaml: secrets.A.created: found something else, expected a date such as 2026-11-22",
        ),
        (
            HEADER + f"  a-b:\n    version: 1\n    created: 2026-11-22\n    value: |\n      {BLOCK}",
            "f.yaml: secrets.a-b: found this name, expected capitals, digits and _",
        ),
        (HEADER + "  A: {}\n  A: {}\n", "f.yaml: line 5 is not valid YAML (A stands twice)"),
    ],
)
def test_a_damaged_file_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(SecretError) as failure:
        parse(Path("f.yaml"), text)
    assert str(failure.value).startswith(message)
    assert "\n" not in str(failure.value)
    assert "Tr0ub4dor" not in everything(failure.value)


store_text = [b""]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_damaged_anywhere_never_gives_a_traceback(store: SecretStore, data: st.DataObject) -> None:
    if not store.path.exists():
        store.update({"A": PLANTED, "B": "another value"})
        store_text[0] = store.path.read_bytes()
    text = store_text[0]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    store.path.write_bytes(text[:start] + data.draw(st.binary(max_size=6)) + text[end:])
    try:
        again = SecretStore.open(store.path)
        for name in again.names():
            again.get(name).reveal()
    except SecretError as error:
        assert "\n" not in str(error)
        assert PLANTED not in everything(error)


# -- generators and age ----------------------------------------------------------------------------------------------


@pytest.mark.covers("CX-22", "DF-62")
@pytest.mark.parametrize(
    ("generator", "pattern"),
    [
        (Generator(encoding="hex", bytes=32), r"[0-9a-f]{64}"),
        (Generator(encoding="base64", bytes=64, min_chars=88), r"[A-Za-z0-9+/]{86}=="),
        (Generator(), r"[A-Za-z0-9_-]{43}"),
        (Generator(min_chars=32), r"[A-Za-z0-9_-]{43}"),
        (Generator(prefix="https://alerts.test/"), r"https://alerts\.test/[A-Za-z0-9_-]{43}"),
    ],
)
def test_generators_make_one_line_of_the_runbooks_length(generator: Generator, pattern: str) -> None:
    made = {generator.generate() for _ in range(5)}
    assert len(made) == 5
    assert all(re.fullmatch(pattern, value) and len(value) == generator.length for value in made)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"encoding": "base64", "bytes": 32, "min_chars": 88}, "min_chars no more than what the generator makes"),
        ({"bytes": 8}, "greater than or equal to 16"),
        ({"prefix": "two words"}, "match pattern"),
        ({"encoding": "base32"}, "'hex', 'base64' or 'urlsafe'"),
        ({"length": 9}, "Extra inputs are not permitted"),
    ],
)
def test_a_generator_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Generator.model_validate(wrong)


def test_generate_makes_what_is_missing_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "config" / "mainstay" / "identity.txt"
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(place))
    needed = [Needed("A", Generator()), Needed("B", Generator(encoding="hex")), Needed("KIE_API_KEY", None)]
    stores = [SecretStore.open(tmp_path / f"secrets.{env}.yaml") for env in ("staging", "production")]
    first, other = (store.generate(needed) for store in stores)
    assert (first.made, first.by_hand, first.new_identity) == (["A", "B"], ["KIE_API_KEY"], place)
    assert (other.made, other.new_identity) == (["A", "B"], None)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    before = stores[0].path.read_bytes()
    assert SecretStore.open(stores[0].path).generate(needed).made == []
    assert stores[0].path.read_bytes() == before
    assert stores[0].get("A").reveal() != stores[1].get("A").reveal()


@pytest.mark.parametrize(("age", "due"), [(0, False), (90, False), (92, False), (93, True)])
def test_a_secret_is_due_after_its_rotation_days(age: int, due: bool) -> None:
    today = date(2026, 11, 22)
    block = "-----BEGIN AGE ENCRYPTED FILE-----\nAAAA\n-----END AGE ENCRYPTED FILE-----\n"
    entry = Entry(version=1, created=today - timedelta(days=age), value=block)
    assert entry.age_days(today) == age
    assert entry.due(today, 92) is due
