"""Secrets: what is stored comes back exactly, and nothing else ever shows it."""

from __future__ import annotations

import copy
import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given

from mainstay.errors import SecretError
from mainstay.secrets import Secret, SecretStore, writing
from mainstay.secrets import identity as identities
from tests.unit.secret_stores import PLANTED, QUICK, blocks, everything, new_identity, new_store, values


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_identity(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path, identity: Path) -> SecretStore:
    return new_store(tmp_path)


@QUICK
@given(value=values)
def test_any_text_round_trips_through_the_file(store: SecretStore, value: str) -> None:
    version = store.set("NAME", value)
    again = SecretStore.open(store.path)
    assert again.get("NAME").reveal() == value
    assert again.resolve(f"a={again.get('NAME')};") == f"a={value};"
    assert again.get("NAME").version == version


# -- the type --------------------------------------------------------------------------------------------------------


def test_a_secret_prints_as_its_placeholder() -> None:
    secret = Secret("JWT_SECRET_KEY", 2, lambda: PLANTED)
    assert {str(secret), repr(secret), f"{secret}", f"{secret:>40}", f"{secret!r}"} == {"<secret JWT_SECRET_KEY@2>"}
    assert repr([secret]) == "[<secret JWT_SECRET_KEY@2>]"
    assert copy.deepcopy(secret) == secret
    assert secret != Secret("JWT_SECRET_KEY", 3, lambda: PLANTED)


def test_digests_compare_values_without_showing_them() -> None:
    one, same, other = Secret("A", 1, lambda: PLANTED), Secret("B", 7, lambda: PLANTED), Secret("A", 2, lambda: "other")
    assert one.digest("salt") == same.digest("salt") != other.digest("salt")
    assert one.digest("salt") != one.digest("pepper")
    assert re.fullmatch(r"[0-9a-f]{64}", one.digest("salt"))


def test_resolve_does_not_search_values_in_turn(store: SecretStore) -> None:
    store.update({"INNER": "inner-value", "OUTER": "<secret INNER@1>"})
    assert store.resolve("<secret OUTER@1>") == "<secret INNER@1>"
    assert store.placeholders("a <secret OUTER@1> b <secret INNER@9>") == {"OUTER", "INNER"}


def test_names_need_no_identity(store: SecretStore, identity: Path) -> None:
    store.set("NAME", PLANTED)
    identity.unlink()
    again = SecretStore.open(store.path)
    assert again.names() == ["NAME"]
    assert str(again.get("NAME")) == "<secret NAME@1>"


# -- the file --------------------------------------------------------------------------------------------------------


def test_untouched_values_stay_byte_for_byte(store: SecretStore) -> None:
    store.update({"A": "first value", "B": "second value", "C": "third value"})
    before = blocks(store.path)
    store.update({"B": "changed value", "C": None, "D": "new value"})
    after = blocks(store.path)
    assert after["A"] == before["A"]
    assert after["B"] != before["B"]
    assert list(after) == ["A", "B", "D"]
    assert {name: entry.version for name, entry in store.entries().items()} == {"A": 1, "B": 2, "D": 1}


def test_the_file_is_private_also_when_it_was_not(store: SecretStore) -> None:
    store.set("A", PLANTED)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    store.path.chmod(0o644)
    store.set("A", PLANTED)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert sorted(path.name for path in store.path.parent.iterdir()) == ["identity.txt", "secrets.staging.yaml"]


def test_comments_on_recipients_stay(store: SecretStore, identity: Path) -> None:
    store.set("A", PLANTED)
    mine = store.recipients()[0]
    store.path.write_text(store.path.read_text().replace(mine, f"{mine}  # alex"))
    SecretStore.open(store.path).set("B", PLANTED)
    assert f"  - {mine}  # alex\nsecrets:\n" in store.path.read_text()


def test_rekey_opens_values_for_a_new_recipient(
    store: SecretStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set("A", PLANTED)
    colleague = tmp_path / "colleague.txt"
    theirs = identities.create_identity(colleague)
    store.path.write_text(store.path.read_text().replace("recipients:\n", f"recipients:\n  - {theirs}\n"))
    assert SecretStore.open(store.path).rekey() == 1
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(colleague))
    assert SecretStore.open(store.path).get("A").reveal() == PLANTED
    assert SecretStore.open(store.path).get("A").version == 1


def test_two_writers_at_once_lose_nothing(store: SecretStore, identity: Path) -> None:
    store.set("SHARED", "value 0 of shared")
    script = (
        "import sys; from pathlib import Path; from mainstay.secrets import SecretStore\n"
        "store = SecretStore.open(Path(sys.argv[1]))\n"
        "for n in range(10): store.update({f'W{sys.argv[2]}_{n}': f'value {n} x', 'SHARED': f'value {n} of shared'})\n"
    )
    source = str(Path(writing.__file__).parents[2])
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(store.path), str(number)], env={**os.environ, "PYTHONPATH": source}
        )
        for number in range(3)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    again = SecretStore.open(store.path)
    assert len(again.names()) == 31
    assert again.get("SHARED").version == 31


def test_a_writer_that_holds_the_file_too_long_is_named(store: SecretStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WAIT_S", 0.2)
    with store._writing(), pytest.raises(SecretError) as failure:
        SecretStore.open(store.path).set("A", PLANTED)
    assert str(failure.value) == f"{store.path}: another command has been writing secrets for 0 s, try again"


# -- bad input: one sentence each ------------------------------------------------------------------------------------

HEADER = "recipients:\n  - age1abc\nsecrets:\n"
BLOCK = "-----BEGIN AGE ENCRYPTED FILE-----\n      AAAA\n      -----END AGE ENCRYPTED FILE-----\n"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("jwt", PLANTED, "'jwt' is not a name, expected capitals, digits and _, a letter first"),
        ("A\n", PLANTED, "'A\\n' is not a name, expected capitals, digits and _, a letter first"),
        ("A", "", "A: the value has fewer than 4 characters or only blanks, it could not be hidden in what is printed"),
        ("A", " " * 9, "A: the value has fewer than 4 characters or only blanks, it could not be hidden in what is"),
        ("A", "a\0bcd", "A: the value holds a NUL character, which no environment file or command can carry"),
        ("A", "abc\ud800", "A: the value is not valid Unicode text"),
    ],
)
def test_what_cannot_be_stored_is_refused(store: SecretStore, name: str, value: str, message: str) -> None:
    with pytest.raises(SecretError) as failure:
        store.update({"GOOD": "good value", name: value})
    assert str(failure.value).startswith(f"{store.path}: {message}")
    assert not store.path.exists()


def test_unknown_names_and_versions(store: SecretStore) -> None:
    store.set("A", PLANTED)
    with pytest.raises(
        SecretError, match=r"secrets.staging.yaml: no secret B, make it with `mainstay secrets generate`"
    ):
        store.resolve("<secret B@1>")
    with pytest.raises(SecretError, match=r"secrets.staging.yaml: A is at version 1, not 2$"):
        store.resolve("<secret A@2>")


# -- nothing shows a value -------------------------------------------------------------------------------------------


def test_no_repr_log_or_traceback_shows_a_value(
    store: SecretStore, identity: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store.set("A", PLANTED)
    secret = store.get("A")
    secret.reveal()
    logging.getLogger("test").warning("%s %r %s", secret, [secret], {"a": secret})
    loaded = identities.load_identity(identity)
    try:
        raise RuntimeError(f"failed with {secret}")
    except RuntimeError as error:
        shown = everything(error)
    shown += caplog.text + repr(store) + repr(store.entries()) + repr(loaded) + store.path.read_text()
    assert PLANTED not in shown
    assert "AGE-SECRET-KEY" not in shown
    assert "<secret A@1>" in shown
