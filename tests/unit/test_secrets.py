"""Secrets: what is stored comes back exactly, and nothing else ever shows it."""

from __future__ import annotations

import base64
import copy
import getpass
import logging
import os
import re
import shlex
import stat
import subprocess
import sys
import traceback
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import quote

import pyrage
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mainstay.errors import SecretError
from mainstay.secrets import Entry, Generator, Needed, Secret, SecretStore, mask, remember
from mainstay.secrets import identity as identities
from mainstay.secrets import store as store_module
from mainstay.secrets.document import parse
from mainstay.secrets.masking import MIN_CHARS

PLANTED = "Tr0ub4dor&3 'quoted' \"value\"/+=%$`\\"
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
values = st.text(
    alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=MIN_CHARS, max_size=60
).filter(lambda text: text.strip())


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "identity.txt"
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(path))
    identities.create_identity(path)
    return path


@pytest.fixture
def store(tmp_path: Path, identity: Path) -> SecretStore:
    return SecretStore.open(tmp_path / "secrets.staging.yaml")


def blocks(path: Path) -> dict[str, str]:
    """Each secret's lines in the file, by name."""
    parts = re.split(r"^  (?=[A-Z])", path.read_text(), flags=re.MULTILINE)[1:]
    return {part.partition(":")[0]: part.rstrip("\n") for part in parts}


# -- round trip ------------------------------------------------------------------------------------------------------


@QUICK
@given(value=values)
def test_any_text_round_trips_through_the_file(store: SecretStore, value: str) -> None:
    version = store.set("NAME", value)
    again = SecretStore.open(store.path)
    assert again.get("NAME").reveal() == value
    assert again.resolve(f"a={again.get('NAME')};") == f"a={value};"
    assert again.get("NAME").version == version


@QUICK
@given(value=values, before=st.text(max_size=20), after=st.text(max_size=20))
def test_any_text_is_masked(value: str, before: str, after: str) -> None:
    label = "<secret NAME@1>"
    assume(value not in label and not any(part in label for part in value.splitlines()))
    assume(value not in before + label + after)
    for form in (value, base64.b64encode(value.encode()).decode(), quote(value, safe=""), shlex.quote(value)):
        shown = mask(f"{before}{form}{after}", {value: label})
        assert form not in shown
        assert label in shown


@QUICK
@given(
    value=values, user=st.text(st.characters(codec="ascii", categories=["L"]), max_size=9), end=st.binary(max_size=4)
)
def test_a_value_inside_longer_base64_is_masked(value: str, user: str, end: bytes) -> None:
    assume(len(value.encode()) >= 9)
    header = base64.b64encode(f"{user}:{value}".encode() + end).decode()
    shown = mask(f"Authorization: Basic {header}", {value: "***"})
    assert "***" in shown
    # All that stays is what the neighbours' bits are mixed into: at most a character on each side.
    left = shown.removeprefix("Authorization: Basic ").replace("***", "")
    assert len(left) <= len(header) - (len(value.encode()) * 8 // 6 - 1)


def test_overlapping_values_leave_no_fragment() -> None:
    shown = mask("x abcdXYefgh y", {"abcdXY": "<secret A@1>", "XYefgh": "<secret B@1>"})
    assert shown == "x <secret A@1> y"


def test_lines_of_a_key_are_masked_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END KEY-----"
    assert "MIIEvQIBADANBgkqhkiG9w0" not in mask("+    MIIEvQIBADANBgkqhkiG9w0", {key: "<secret TLS_KEY@1>"})


def test_a_placeholder_stays_although_a_value_looks_like_a_part_of_it() -> None:
    assert mask("<secret TOKEN@3> secret", {"secret": "<secret A@1>"}) == "<secret TOKEN@3> <secret A@1>"


def test_masking_without_values_uses_what_this_process_revealed() -> None:
    assert mask("only-here-5c1f") == "only-here-5c1f"
    Secret("LATE", 4, lambda: "only-here-5c1f").reveal()
    assert mask("x only-here-5c1f") == "x <secret LATE@4>"
    remember("no", "<secret SHORT@1>")
    assert mask("no") == "no"


@QUICK
@given(text=st.text(max_size=80))
def test_text_without_values_is_unchanged(text: str) -> None:
    assert mask(text, {}) == text
    assume("zq-value-zq" not in text)
    assert mask(text, {"zq-value-zq": "***"}) == text


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
    source = str(Path(store_module.__file__).parents[2])
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
    monkeypatch.setattr(store_module, "LOCK_WAIT_S", 0.2)
    with store._writing(), pytest.raises(SecretError) as failure:
        SecretStore.open(store.path).set("A", PLANTED)
    assert str(failure.value) == f"{store.path}: another command has been writing secrets for 0 s, try again"


# -- generators and age ----------------------------------------------------------------------------------------------


@pytest.mark.covers("SE-01", "SE-02", "CX-22", "DF-62")
@pytest.mark.parametrize(
    ("generator", "pattern"),
    [
        (Generator(encoding="hex", bytes=32), r"[0-9a-f]{64}"),
        (Generator(encoding="base64", bytes=64, min_chars=88), r"[A-Za-z0-9+/]{86}=="),
        (Generator(), r"[A-Za-z0-9_-]{43}"),
        (Generator(min_chars=32), r"[A-Za-z0-9_-]{43}"),
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


@pytest.mark.covers("SE-03", "EV-09")
@pytest.mark.parametrize(("age", "due"), [(0, False), (90, False), (92, False), (93, True)])
def test_a_secret_is_due_after_its_rotation_days(age: int, due: bool) -> None:
    today = date(2026, 11, 22)
    block = "-----BEGIN AGE ENCRYPTED FILE-----\nAAAA\n-----END AGE ENCRYPTED FILE-----\n"
    entry = Entry(version=1, created=today - timedelta(days=age), value=block)
    assert entry.age_days(today) == age
    assert entry.due(today, 92) is due


# -- bad input: one sentence each ------------------------------------------------------------------------------------

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


store_text = [b""]


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
        env={**os.environ, "PYTHONPATH": str(Path(store_module.__file__).parents[2])},
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


# -- nothing shows a value -------------------------------------------------------------------------------------------


def everything(error: BaseException) -> str:
    """All that a handler could print of an exception: text, repr, chain, traceback."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None:
        chain += [str(current), repr(current), repr(current.args)]
        current = current.__cause__ or current.__context__
    return "\n".join([*chain, *traceback.format_exception(error)])


@pytest.mark.covers("DF-61")
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
