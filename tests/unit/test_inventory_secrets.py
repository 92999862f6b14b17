"""Rules that need the values: each fault names the secret and its variable, no message holds a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.errors import SecretError
from mainstay.inventory import load
from mainstay.inventory.stores import secrets_file
from mainstay.secrets import Generator, SecretStore
from mainstay.secrets.identity import create_identity
from mainstay.secrets.needed import needed_secrets
from tests.unit.inventories import SYSTEM, copied, loaded, messages

LONG = "kJ8-u3Xq_1mZpL0vT5yR7wB2"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose two environments have every secret, all different."""
    identity = tmp_path / "identity.txt"
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(identity))
    create_identity(identity)
    project = copied(tmp_path / "project")
    for env in ("staging", "production"):
        names = [need.name for need in needed_secrets(load(SYSTEM, env, root=project, check_secrets=False))]
        store(project, env).update({name: Generator().generate() for name in names})
    return project


def store(root: Path, env: str) -> SecretStore:
    return SecretStore.open(secrets_file(root, SYSTEM, env))


def of_secrets(notes: list[str]) -> list[str]:
    """The notes without those about keys of the inventory."""
    return [note for note in notes if note.startswith(f"{SYSTEM}/")]


def test_a_full_store_has_no_faults_and_nothing_unchecked(root: Path) -> None:
    assert messages(root) == []
    assert of_secrets(loaded(root).notes) == []


def test_a_missing_secret(root: Path) -> None:
    store(root, "production").update({"KIE_API_KEY": None})
    assert messages(root) == [
        "KIE_API_KEY: found no such secret, expected it there; `mainstay secrets generate` or `set` stores it"
    ]


@pytest.mark.covers("EV-02", "DF-65")
@pytest.mark.parametrize(
    ("value", "count"),
    [("a1B2c3D4" * 3 + "a1B2c3D", 31), ("a1B2c3D4" * 3 + "a1B2c3D" + "\n", 31)],
    ids=["31", "31 + newline"],
)
def test_a_jwt_secret_of_31_characters(root: Path, value: str, count: int) -> None:
    """The runbook's `echo | wc -c` counts the line break and takes 31 for 32."""
    store(root, "production").set("JWT_SECRET_KEY", value)
    assert messages(root) == [
        f"services.backend.env_vars.JWT_SECRET_KEY: found a secret JWT_SECRET_KEY of {count} characters, "
        "expected at least 32 characters, a line break at the end not counted"
    ]
    store(root, "production").set("JWT_SECRET_KEY", value.strip() + "x")
    assert messages(root) == []


@pytest.mark.covers("EV-02")
def test_the_same_jwt_secret_in_both_environments(root: Path) -> None:
    shared = LONG + "same-in-both-worlds"
    for env in ("staging", "production"):
        store(root, env).set("JWT_SECRET_KEY", shared)
    for env in ("staging", "production"):
        (message,) = messages(root, env)
        assert message.startswith("services.backend.env_vars.JWT_SECRET_KEY.differs_between: found the same secret ")
        assert message.endswith("expected a value of its own in each")
        assert shared not in message


def test_a_secret_that_is_no_secret(root: Path) -> None:
    store(root, "production").set("JWT_SECRET_KEY", "ab" * 20)
    (message,) = messages(root)
    assert message.endswith("expected a random value with at least 8 different characters")


@pytest.mark.covers("EV-01")
def test_placeholders_of_the_runbook(root: Path) -> None:
    """`<production-anon-key>` stands in the runbook where a key should be."""
    store(root, "production").set("SUPABASE_ANON_KEY", "<production-anon-key>")
    assert messages(root) == [
        "services.backend.env_vars.SUPABASE_ANON_KEY: found a secret SUPABASE_ANON_KEY that is not shown, "
        "expected a real value in production, no placeholder"
    ]
    store(root, "staging").set("SUPABASE_ANON_KEY", "<staging-anon-key>")
    assert messages(root, "staging") == []


def test_two_keys_that_must_not_be_one(root: Path) -> None:
    for name in ("SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"):
        store(root, "production").set(name, LONG)
    assert messages(root) == [
        "services.backend.env_vars.SUPABASE_SERVICE_ROLE_KEY.not_equal: "
        "found the same value as SUPABASE_ANON_KEY, expected another value"
    ]


def test_without_a_store_the_rest_is_checked_and_the_notes_say_so(root: Path) -> None:
    secrets_file(root, SYSTEM, "production").unlink()
    env = loaded(root)
    count = len(needed_secrets(env))
    assert of_secrets(env.notes) == [
        f"everydayai/production: no secrets.production.yaml yet, {count} secret values were not checked"
    ]
    assert str(env.secrets.get("JWT_SECRET_KEY")) == "<secret JWT_SECRET_KEY@1>"
    with pytest.raises(SecretError, match="expected it to hold JWT_SECRET_KEY"):
        env.secrets.resolve("<secret JWT_SECRET_KEY@1>")


def test_without_the_other_store_nothing_is_compared_and_the_notes_say_so(root: Path) -> None:
    secrets_file(root, SYSTEM, "staging").unlink()
    assert of_secrets(loaded(root).notes) == [
        "everydayai/production: no secrets.staging.yaml yet, its secrets were not compared"
    ]


def test_without_the_identity_names_are_still_checked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(root, "production").update({"KIE_API_KEY": None})
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(root / "elsewhere"))
    assert [message.split(":")[0] for message in messages(root)] == ["KIE_API_KEY"]
    (note,) = of_secrets(loaded(root, "staging").notes)
    assert note.startswith("everydayai/staging: secret values were not checked: ")


def test_a_faulty_store_can_still_be_mended(root: Path) -> None:
    """`mainstay secrets list` and `generate` load the inventory with the store as it is."""
    store(root, "production").set("JWT_SECRET_KEY", "short-one")
    assert load(SYSTEM, "production", root=root, check_secrets=False).name == "everydayai/production"
