"""When servers may be restarted for a setting: windows by the clock, and the ways round them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from mainstay.inventory import Environment
from mainstay.windows import open_window, restart_leave
from tests.unit.inventories import copied, loaded

SUNDAY = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)
WINDOW = "Sun 02:00-04:00 UTC"


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return loaded(copied(tmp_path_factory.mktemp("windows")))


@pytest.mark.parametrize(
    ("now", "window"),
    [
        (SUNDAY - timedelta(seconds=1), ""),
        (SUNDAY, WINDOW),
        (SUNDAY + timedelta(hours=1, minutes=59, seconds=59), WINDOW),
        (SUNDAY + timedelta(hours=2), ""),
        (SUNDAY + timedelta(days=1), ""),
        (SUNDAY.astimezone(timezone(timedelta(hours=-7))), WINDOW),
    ],
)
def test_a_window_is_open_from_its_first_minute_to_its_last(env: Environment, now: datetime, window: str) -> None:
    assert open_window(env, now) == window


def test_a_daily_window_is_open_every_day(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path, ("system.yaml", WINDOW, "daily 02:00-04:00 UTC")))
    opened = {open_window(env, SUNDAY + timedelta(days=day)) for day in range(7)}
    assert opened == {"daily 02:00-04:00 UTC"}


@pytest.mark.parametrize(
    ("own", "asked", "now", "leave"),
    [
        (True, False, SUNDAY, ("postgres.allow_restart", "")),
        (False, True, SUNDAY - timedelta(days=1), ("--allow-restart", "")),
        (False, False, SUNDAY, (f"the window {WINDOW}", "")),
        (False, False, SUNDAY - timedelta(days=1), ("", f"in the window {WINDOW} or with --allow-restart")),
    ],
)
def test_leave_to_restart_says_where_it_comes_from(
    env: Environment, own: bool, asked: bool, now: datetime, leave: tuple[str, str]
) -> None:
    assert restart_leave(env, "postgres.allow_restart", own, asked, now) == leave


def test_without_windows_only_the_operator_gives_leave(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path, ("system.yaml", f"windows: ['{WINDOW}']", "windows: []")))
    assert restart_leave(env, "postgres.allow_restart", False, False, SUNDAY) == ("", "with --allow-restart")
