"""Identities and recipients: age's own, SSH keys, and all that is wrong with them in one sentence each."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from mainstay.errors import SecretError
from mainstay.secrets import SecretStore, writing
from mainstay.secrets import identity as identities
from tests.unit.secret_stores import PLANTED, everything, new_identity, new_store


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_identity(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path, identity: Path) -> SecretStore:
    return new_store(tmp_path)


def test_identity_problems(store: SecretStore, identity: Path, tmp_path: Path) -> None:
    store.set("A", PLANTED)

    def sentence() -> str:
        with pytest.raises(SecretError) as failure:
            SecretStore.open(store.path).get("A").reveal()
        assert PLANTED not in everything(failure.value)
        return str(failure.value)

    identity.chmod(0o640)
    assert sentence() == f"{identity}: mode 0640 lets others read this identity, run `chmod 600 {identity}`"
    identity.unlink()
    remedy = "name yours in MAINSTAY_AGE_IDENTITY or run `mainstay secrets generate`"
    assert sentence() == f"{identity}: no age identity here, {remedy}"
    identity.touch(0o600)
    assert sentence() == f"{identity}: found no identity, expected AGE-SECRET-KEY-1... or an SSH private key"
    identity.write_text("AGE-SECRET-KEY-1QQQ\n")
    assert sentence() == f"{identity}: found no identity, expected AGE-SECRET-KEY-1... or an SSH private key"
    identity.unlink()
    mine = identities.create_identity(identity)
    assert sentence() == f"{store.path}: A: not encrypted for your identity ({mine}), ask a recipient to add it"


@pytest.mark.parametrize(
    ("recipients", "message"),
    [
        ("[]", "recipients: found no recipient, expected at least one age1... or ssh- public key"),
        ("[age1nonsense]", "recipients: found 'age1nonsense', expected an age1... or ssh- public key"),
        ("[ssh-ed25519 AAAA]", "recipients: found 'ssh-ed25519 AAAA', expected an age1... or ssh- public key"),
    ],
)
def test_recipients_that_nobody_can_use(store: SecretStore, recipients: str, message: str) -> None:
    store.path.write_text(f"recipients: {recipients}\nsecrets: {{}}\n")
    with pytest.raises(SecretError) as failure:
        SecretStore.open(store.path).set("A", PLANTED)
    assert str(failure.value) == f"{store.path}: {message}"
    assert PLANTED not in everything(failure.value)


def test_a_block_that_holds_no_text(store: SecretStore) -> None:
    store.set("A", PLANTED)
    block = pyrage.encrypt(b"\xff\xfe", [pyrage.x25519.Recipient.from_str(store.recipients()[0])], armored=True)
    entry = store.entries()["A"]
    new = "\n".join(f"      {line}" for line in block.decode().splitlines())
    old = "\n".join(f"      {line}" for line in entry.value.splitlines())
    store.path.write_text(store.path.read_text().replace(old, new))
    with pytest.raises(SecretError, match="A: the age block does not hold text, set the secret again"):
        SecretStore.open(store.path).get("A").reveal()


# -- SSH keys --------------------------------------------------------------------------------------------------------


def ssh_key(path: Path, kind: str, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)
    return path


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys_work(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(ssh_key(tmp_path / "key", kind)))
    store = SecretStore.open(tmp_path / "secrets.staging.yaml")
    store.set("A", PLANTED)
    assert SecretStore.open(store.path).get("A").reveal() == PLANTED
    assert store.recipients()[0].startswith(f"ssh-{kind} ")


def test_an_encrypted_ssh_key_is_opened_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ssh_key(tmp_path / "key", "ed25519", "correct horse")
    text = key.read_bytes()
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(key))
    monkeypatch.setattr(identities.os, "open", lambda *_: os.dup(0))
    answers = ["wrong", "correct horse"]
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: answers.pop(0))
    with pytest.raises(SecretError, match="the passphrase does not open this SSH key"):
        identities.load_identity(key)
    assert identities.load_identity(key).recipients[0].startswith("ssh-ed25519 ")
    assert identities.load_identity(key).recipients[0].startswith("ssh-ed25519 ")  # asked once
    assert key.read_bytes() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.pub"]


def test_an_encrypted_ssh_key_without_a_terminal(tmp_path: Path) -> None:
    key = ssh_key(tmp_path / "key", "ed25519", "correct horse")
    script = (
        "import sys; from pathlib import Path; from mainstay.secrets.identity import load_identity\n"
        "from mainstay.errors import SecretError\n"
        "try: load_identity(Path(sys.argv[1]))\nexcept SecretError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(key)],
        capture_output=True, text=True, check=True, start_new_session=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(writing.__file__).parents[2])},
    )  # fmt: skip
    assert done.stdout == f"{key}: this SSH key has a passphrase and there is no terminal to ask for it\n"


@pytest.mark.parametrize(
    ("kind", "message"), [("ecdsa", "found a key of type ecdsa-sha2-nistp256, expected ssh-ed25519 or ssh-rsa")]
)
def test_ssh_keys_that_age_does_not_know(kind: str, message: str, tmp_path: Path) -> None:
    key = ssh_key(tmp_path / "key", kind)
    with pytest.raises(SecretError) as failure:
        identities.load_identity(key)
    assert str(failure.value) == f"{key}: {message}"


def test_a_damaged_ssh_key(tmp_path: Path) -> None:
    key = ssh_key(tmp_path / "key", "ed25519")
    key.write_text(key.read_text().replace("AAAA", "AAAB"))
    with pytest.raises(SecretError, match="this SSH private key is damaged or of a kind that cannot be read"):
        identities.load_identity(key)
