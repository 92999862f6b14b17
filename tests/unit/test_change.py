"""The digest of a change: the same for both environments, and another one for every other content."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mainstay import change as module
from mainstay.change import Change, change
from tests.unit.inventories import SYSTEM, Edit, copied, loaded

SHA = "0" * 64
BACKEND = "releases: {{backend: {{version: {version}, artefacts: {{{version}: {{file: a.tar, sha256: {sha}}}}}}}}}"


@pytest.fixture
def before(tmp_path: Path) -> Change:
    return change(loaded(copied(tmp_path / "before")))


def test_both_environments_have_one_change(tmp_path: Path) -> None:
    root = copied(tmp_path)
    assert change(loaded(root, "staging")) == change(loaded(root, "production"))


PER_ENV: list[Edit] = [
    ("production.yaml", "address: 198.51.100.31", "address: 198.51.100.99"),
    ("production.yaml", "memory: 8G", "memory: 16G"),
    ("production.yaml", "domain: everydayai.test", "domain: everyday.test"),
    ("production.yaml", "maxmemory: 512mb", "maxmemory: 1gb"),
    ("production.yaml", "SMS_200000001", "SMS_300000001"),
    ("production.yaml", "services:\n  backend:\n", "services:\n  backend:\n    workers: 3\n"),
    ("production.yaml", "services:\n  backend:\n", "services:\n  backend:\n    instances: {max: 1}\n"),
    ("production.yaml", "redis:\n", "postgres: {settings: {work_mem: 8MB}}\nredis:\n"),
]


@pytest.mark.parametrize("edit", PER_ENV, ids=[edit[2].strip()[:40] for edit in PER_ENV])
def test_what_an_environment_sets_is_no_part_of_it(tmp_path: Path, before: Change, edit: Edit) -> None:
    assert change(loaded(copied(tmp_path / "after", edit))) == before


def test_comments_and_the_order_of_keys_are_no_part_of_it(tmp_path: Path, before: Change) -> None:
    root = copied(tmp_path / "after")
    path = root / "inventories" / SYSTEM / "system.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()), sort_keys=True, allow_unicode=True))
    assert change(loaded(root)) == before


CONTENT: list[Edit] = [
    ("system.yaml", "policy: noeviction", "policy: allkeys-lru"),
    ("system.yaml", "drain_s: 30", "drain_s: 31"),
    ("system.yaml", "RATE_LIMIT_GLOBAL_TASKS: {type: int, value: 15", "RATE_LIMIT_GLOBAL_TASKS: {type: int, value: 16"),
    ("system.yaml", "workers: 4 ", "workers: 3 "),
    ("system.yaml", "p95_ms: {warn: 500, crit: 1000", "p95_ms: {warn: 500, crit: 2000"),
    ("system.yaml", "log_min_duration_statement: 100ms", "log_min_duration_statement: 200ms"),
]


@pytest.mark.parametrize("edit", CONTENT, ids=[edit[2][:40] for edit in CONTENT])
def test_what_both_environments_share_is_part_of_it(tmp_path: Path, before: Change, edit: Edit) -> None:
    after = change(loaded(copied(tmp_path / "after", edit)))
    assert after.digest != before.digest
    assert after.differs_in(before) == ["model"]


@pytest.mark.parametrize(("version", "sha"), [("1.0.0", SHA), ("1.0.1", SHA), ("1.0.0", "a" * 64)])
def test_pinned_artefacts_are_part_of_it(tmp_path: Path, before: Change, version: str, sha: str) -> None:
    edit = ("releases.yaml", "releases: {}", BACKEND.format(version=version, sha=sha))
    assert change(loaded(copied(tmp_path / "after", edit))).differs_in(before) == ["artefacts"]


def test_an_artefact_that_is_not_pinned_is_no_part_of_it(tmp_path: Path) -> None:
    one = BACKEND.format(version="1.0.0", sha=SHA)
    two = one.replace("artefacts: {", f"artefacts: {{0.9.0: {{file: b.tar, sha256: {SHA}}}, ")
    first = change(loaded(copied(tmp_path / "1", ("releases.yaml", "releases: {}", one))))
    assert change(loaded(copied(tmp_path / "2", ("releases.yaml", "releases: {}", two)))) == first


def test_the_projects_own_files_are_part_of_it(tmp_path: Path, before: Change) -> None:
    root = copied(tmp_path / "after")
    own = root / "templates" / "nginx" / "extra.conf.j2"
    own.parent.mkdir(parents=True)
    own.write_text("one")
    first = change(loaded(root))
    assert first.differs_in(before) == ["files"]
    own.write_text("two")
    assert change(loaded(root)).differs_in(first) == ["files"]
    own.rename(own.with_name("other.conf.j2"))
    assert change(loaded(root)).differs_in(first) == ["files"]
    cache = root / "deploys" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "x.pyc").write_bytes(b"0")
    own.with_name(".extra.conf.j2.swp").write_bytes(b"0")
    own.with_name("other.conf.j2").unlink()
    assert change(loaded(root)) == before, "what Python leaves behind is no content"


def test_mainstays_version_is_part_of_it(tmp_path: Path, before: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__version__", "99.0.0")
    assert change(loaded(copied(tmp_path / "after"))).differs_in(before) == ["version"]
    assert before.short == before.digest[:12]
