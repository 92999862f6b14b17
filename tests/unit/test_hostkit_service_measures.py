"""What measures services on a host: entries of their logs, each counted once, and the control groups of their units."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[2] / "templates" / "hostkit" / "service-measures"
PATTERNS = ["Authentication failed", "status_code=5", r'a "b" /c\d+', "(?<!no )error"]

# Tells what is at a place and behind it, of these names, as the real one does; a place is `i=` and a number in hex.
JOURNALCTL = """#!{python}
import json, sys
entries = json.load(open({entries!r}))
words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word and not word.startswith("--identifier="))
names = [word.split("=", 1)[1] for word in sys.argv[1:] if word.startswith("--identifier=")]
if "--lines" in words:
    entries = entries[-1:]
first = int(words["--cursor"].split("=")[1], 16) if "--cursor" in words else -1
for place, name, message in entries:
    if place >= first and (not names or name in names):
        print(json.dumps({{"__CURSOR": f"i={{place:x}}", "SYSLOG_IDENTIFIER": name, "MESSAGE": message}}))
sys.exit({code})
"""


class Counter:
    """The script with a journal that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counted = folder / "counted.prom"
        self.entries: list[tuple[int, str, Any]] = []
        self.want(PATTERNS)

    def want(self, patterns: Sequence[str]) -> None:
        wanted = {"services": {"api": "shop-api", "worker": "shop-worker"}, "patterns": list(patterns)}
        (self.folder / "wanted.json").write_text(json.dumps(wanted))

    def log(self, *messages: Any, name: str = "shop-api") -> None:
        for message in messages:
            self.entries.append((len(self.entries) + 1, name, message))

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def run(self, code: int = 0, *, counted: bool = True) -> subprocess.CompletedProcess[str]:
        (self.folder / "entries.json").write_text(json.dumps(self.entries))
        entries = str(self.folder / "entries.json")
        self.program("journalctl", JOURNALCTL.format(python=sys.executable, entries=entries, code=code))
        self.program("systemctl", "#!/bin/sh\n")
        words = [sys.executable, "-I", str(SCRIPT), str(self.folder / "wanted.json")]
        return subprocess.run(
            [*words, *([str(self.counted)] if counted else [])],
            env={"PATH": str(self.folder)}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def counts(self) -> dict[tuple[str, str], int]:
        """By service and pattern, as the node exporter reads them."""
        found = {}
        for line in self.counted.read_text().splitlines():
            if match := re.fullmatch(r'log_pattern_total\{pattern="(.*)",service="(.*)"\} (\d+)', line):
                found[match[2], re.sub(r"\\(.)", r"\1", match[1])] = int(match[3])
        return found

    def after(self, *messages: Any, name: str = "shop-api") -> dict[tuple[str, str], int]:
        """What the next run adds for these; nothing that is zero."""
        before = self.counts()
        self.log(*messages, name=name)
        done = self.run()
        assert (done.returncode, done.stderr) == (0, "")
        return {key: number - before[key] for key, number in self.counts().items() if number > before[key]}


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    """After its first run, over a journal with an entry from before."""
    made = Counter(tmp_path)
    made.log("Authentication failed, long ago")
    assert made.run().returncode == 0
    return made


def test_counts_start_with_zero_and_with_what_comes(counter: Counter) -> None:
    assert counter.counts() == {(name, pattern): 0 for name in ("api", "worker") for pattern in PATTERNS}


def test_each_entry_counts_once_for_its_service_and_its_patterns(counter: Counter) -> None:
    assert counter.after("x Authentication failed y", "status_code=404") == {("api", "Authentication failed"): 1}
    assert counter.after("status_code=502", "status_code=503") == {("api", "status_code=5"): 2}
    assert counter.after('a "b" /c12', name="shop-worker") == {("worker", PATTERNS[2]): 1}
    assert counter.after("error", "no error") == {("api", PATTERNS[3]): 1}
    assert counter.after("Authentication failed", name="other") == {}
    assert counter.after() == {}


@pytest.mark.parametrize(
    ("message", "matches"),
    [
        (None, False),  # journalctl's word for a field that is too large to tell
        ([0xFF, *b"Authentication failed", 0], True),  # its word for bytes that are no UTF-8
        (["Authentication failed", "twice in one entry"], True),
        ("first\nAuthentication failed\nlast", True),
        ("\x1b[31mAuthentication failed\x1b[0m", True),
        ("x" * 9000 + "Authentication failed", False),  # far behind in a line that no person reads
    ],
)
def test_whatever_an_entry_holds(counter: Counter, message: Any, matches: bool) -> None:
    assert counter.after(message) == ({("api", "Authentication failed"): 1} if matches else {})


def test_a_pattern_that_is_new_starts_with_zero_and_one_that_is_gone_ends(counter: Counter) -> None:
    counter.after("Authentication failed")
    counter.want(["Authentication failed", "new"])
    assert counter.run().returncode == 0
    assert counter.counts()["api", "Authentication failed"] == 1
    assert counter.counts()["api", "new"] == 0
    assert len(counter.counts()) == 4


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"# state {",
        b"# state {}\n",
        b'# state {"cursor": "--since=1", "counts": {}}\n',
        b'# state {"cursor": "i=1", "counts": {"api": {"status_code=5": "7"}}}\n',
        b"\xff\x00",
    ],
)
def test_a_damaged_file_starts_anew(counter: Counter, text: bytes) -> None:
    counter.counted.write_bytes(text)
    assert counter.run().returncode == 0
    assert set(counter.counts().values()) == {0}
    assert counter.after("status_code=500") == {("api", "status_code=5"): 1}


def test_an_empty_journal_is_read_from_its_start(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    assert counter.run().returncode == 0
    assert counter.after("status_code=500") == {("api", "status_code=5"): 1}


def test_where_the_journal_cannot_be_read_what_was_counted_stands(counter: Counter) -> None:
    counter.after("status_code=500")
    before = counter.counted.read_text()
    counter.log("status_code=500")
    done = counter.run(code=1)
    assert (done.returncode, done.stderr) == (1, "journalctl ended with 1\n")
    assert counter.counted.read_text() == before
    assert counter.after() == {("api", "status_code=5"): 1}


def test_a_pattern_that_this_python_does_not_take_is_refused(counter: Counter) -> None:
    counter.want(["a", "("])
    done = counter.run(counted=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "logs.patterns: found '(' (missing ), unterminated subpattern at position 0), expected"
    )
    counter.want(["a"])
    assert (counter.run(counted=False).returncode, counter.counts()["api", "status_code=5"]) == (0, 0)


def test_looks_go_on_from_each_other(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them in one process, with an entry more before each but the first."""
    monkeypatch.setenv("PATH", str(counter.folder))
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt
        counter.log("status_code=500")
        (counter.folder / "entries.json").write_text(json.dumps(counter.entries))

    main = _function("main")
    monkeypatch.setattr(main.__globals__["time"], "sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        main(str(counter.folder / "wanted.json"), str(counter.counted), "15")
    assert (pauses, counter.counts()["api", "status_code=5"]) == ([15.0] * 3, 2)


def test_a_host_without_patterns_has_neither_counts_nor_a_place_in_the_journal(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    counter.want([])
    counter.log("status_code=500")
    assert counter.run(code=1).returncode == 0, "the journal is not read"
    assert "state {" not in counter.counted.read_text() and not counter.counts()


def _function(name: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "measures"}
    exec(compile(SCRIPT.read_text(), SCRIPT, "exec"), names)
    return names[name]  # type: ignore[no-any-return]


def group(folder: Path, **files: str) -> dict[str, float]:
    """What is found of a control group with these files, by the end of each measure's name."""
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return {
        measure[0].removeprefix("mainstay_unit_"): value for measure, value in _function("of_group")(folder).items()
    }


def test_the_page_cache_is_not_memory_that_a_unit_needs(tmp_path: Path) -> None:
    """DF-34, for units."""
    stat = "anon 70000000\nfile 40000000\ninactive_file 30000000\n"
    found = group(tmp_path, memory_current="110000000\n", memory_stat=stat, memory_max="100000000\n")
    assert found == {"memory_working_set_bytes": 80_000_000, "memory_max_bytes": 100_000_000}


def test_a_unit_without_a_limit_has_none_and_one_that_has_ended_has_nothing(tmp_path: Path) -> None:
    found = group(tmp_path, memory_current="5\n", memory_max="max\n", cpu_stat="usage_usec 2500000\nuser_usec 1\n")
    assert found == {"cpu_seconds_total": 2.5, "memory_working_set_bytes": 5}
    assert group(tmp_path / "away") == {}


def test_units_that_run_are_found_by_their_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them by one call."""
    units = [
        "shop-api@1.service\\nControlGroup=/a",
        "shop-api@2.service\\nControlGroup=",
        "shop-job@1.service\\nControlGroup=/b",
    ]
    blocks = "\\n\\n".join(f"Id={unit}" for unit in units)
    answer = f'#!/bin/sh\n[ "$*" != "$WANTED" ] || printf "{blocks}\\n"\n'
    monkeypatch.setenv("WANTED", "show --property=Id,ControlGroup -- shop-api@*.service shop-job@*.service")
    Counter(tmp_path).program("systemctl", answer)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    used = _function("used")
    used.__globals__["of_group"] = lambda group: {"cpu": str(group)}
    used.__globals__["CPU"] = "cpu"
    found = used({"api": "shop-api", "job": "shop-job"})
    assert found["cpu"] == [
        ('service="api",unit="shop-api@1.service"', "/sys/fs/cgroup/a"),
        ('service="job",unit="shop-job@1.service"', "/sys/fs/cgroup/b"),
    ]
    assert not any(used({}).values())


@given(
    cursor=st.from_regex(r"[a-z]=[0-9a-f]{1,8}(;[a-z]=[0-9a-f]{1,8}){0,3}", fullmatch=True),
    counts=st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers(0, 2**60))),
)
def test_state_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, cursor: str, counts: dict[str, dict[str, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.prom"
    _function("write")(path, cursor, counts, {})
    assert _function("state_of")(path) == (cursor, counts)
