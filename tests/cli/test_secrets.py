"""`mainstay secrets` as an operator meets it: the real command in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.cli.secrets import SecretsReport
from tests.cli.conftest import TARGET, Run, editor, store_file

PLANTED = "Tr0ub4dor&3 'quoted' \"value\"/+=%$`\\"


# -- generate, list --------------------------------------------------------------------------------------------------


def test_generate_makes_what_the_inventory_needs_and_says_so(run: Run, project: Path, tmp_path: Path) -> None:
    done = run("generate", TARGET)
    identity = tmp_path / "identity.txt"
    assert done.stdout == (
        f"Made your age identity {identity} (mode 0600); keep a copy, without it nothing opens.\n"
        "Made COOKIE_KEY.\nMade JWT_SECRET_KEY.\n2 made, 0 kept in inventories/shop/secrets.staging.yaml.\n"
    )
    assert done.stderr == "mainstay: shop/staging: only their issuer can make MAP_API_KEY, store them with `set`\n"
    assert done.returncode == 2
    assert [path.stat().st_mode & 0o777 for path in (identity, store_file(project))] == [0o600, 0o600]
    assert re.fullmatch(r"[0-9a-f]{64}", run("get", TARGET, "COOKIE_KEY").stdout)
    assert len(run("get", TARGET, "JWT_SECRET_KEY").stdout) == 88


def test_a_stand_in_looks_as_its_generator_says_and_only_its_issuer_makes_the_real_one(run: Run) -> None:
    refused = run("generate", TARGET)
    assert refused.returncode != 0
    assert "only their issuer can make MAP_API_KEY" in refused.stderr
    assert run("generate", TARGET, "--stand-ins").returncode == 0
    assert re.fullmatch(r"map-[0-9a-f]{32}", run("get", TARGET, "MAP_API_KEY").stdout)


def test_generate_again_makes_nothing(filled: Run, project: Path) -> None:
    before = store_file(project).read_bytes()
    done = filled("generate", TARGET, "--stand-ins")
    assert (done.returncode, done.stdout) == (0, "0 made, 3 kept in inventories/shop/secrets.staging.yaml.\n")
    assert store_file(project).read_bytes() == before


def test_staging_and_production_differ(filled: Run) -> None:
    assert filled("generate", "shop/production", "--stand-ins").returncode == 0
    values = [filled("get", f"shop/{env}", "JWT_SECRET_KEY").stdout for env in ("staging", "production")]
    assert len(set(values)) == 2


@pytest.mark.covers("EV-09")
def test_list_shows_ages_and_never_values(filled: Run, project: Path) -> None:
    file = store_file(project)
    values = [filled("get", TARGET, name).stdout for name in ("COOKIE_KEY", "JWT_SECRET_KEY", "MAP_API_KEY")]
    for name, age in (("COOKIE_KEY", 93), ("JWT_SECRET_KEY", 90)):
        made = (datetime.now(UTC) - timedelta(days=age)).date()
        file.write_text(re.sub(rf"({name}:\n    version: 1\n    created: )\S+", rf"\g<1>{made}", file.read_text()))
    file.write_text(re.sub(r"  MAP_API_KEY:\n(    .*\n)+", "", file.read_text()))
    done = filled("list", TARGET)
    assert done.returncode == 0
    assert re.search(r"^COOKIE_KEY +1 +93 d +rotate *$", done.stdout, re.MULTILINE)
    assert re.search(r"^JWT_SECRET_KEY +1 +90 d *$", done.stdout, re.MULTILINE)
    assert re.search(r"^MAP_API_KEY +- +- +missing *$", done.stdout, re.MULTILINE)
    assert done.stderr == "1 older than 92 days; set a new value, then roll out.\n"
    report = SecretsReport.model_validate_json(filled("list", TARGET, "--json").stdout)
    assert [(row.name, row.version, row.due) for row in report.secrets] == [
        ("COOKIE_KEY", 1, True),
        ("JWT_SECRET_KEY", 1, False),
    ]
    assert report.missing == ["MAP_API_KEY"]
    shown = done.stdout + done.stderr + json.dumps(report.model_dump())
    assert not any(value in shown for value in values)


# -- set, get --------------------------------------------------------------------------------------------------------


@pytest.mark.covers("DF-65")
@pytest.mark.parametrize(
    ("sent", "kept"), [(PLANTED, PLANTED), (f"{PLANTED}\n", PLANTED), ("a\nkey\n\n", "a\nkey\n"), ("wörd\r\n", "wörd")]
)
def test_set_takes_standard_input_less_one_line_break(filled: Run, sent: str, kept: str) -> None:
    done = filled("set", TARGET, "MAP_API_KEY", stdin=sent)
    assert done.stdout == "MAP_API_KEY is at version 2 in inventories/shop/secrets.staging.yaml.\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert filled("get", TARGET, "MAP_API_KEY").stdout == kept


def test_set_refuses_a_value_on_the_command_line(filled: Run) -> None:
    done = filled("set", TARGET, "MAP_API_KEY", "hunter2hunter2")
    assert done.returncode == 2
    assert done.stderr == (
        "mainstay: MAP_API_KEY: found a value on the command line, where others can read it, expected it on standard "
        "input or at the prompt; use another value now\n"
    )


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        (("set", TARGET, "MAP_API_KEY"), b"", "MAP_API_KEY: the value has fewer than 4 characters or only blanks"),
        (
            ("set", TARGET, "MAP_API_KEY"),
            b"\xff\xfe12",
            "MAP_API_KEY: found bytes on standard input that are not UTF-8",
        ),
        (("set", TARGET, "map-key"), b"value", "'map-key' is not a name, expected capitals, digits and _"),
        (("get", TARGET, "OTHER"), b"", "no secret OTHER, make it with `mainstay secrets generate` or `set`"),
        (("get", "shop", "OTHER"), b"", "found 'shop', expected one of: shop/staging, shop/production"),
        (("get", "shop/dev", "OTHER"), b"", "found 'shop/dev', expected one of: shop/staging, shop/production"),
        (("get", "../etc/staging", "A"), b"", "found '../etc/staging', expected one of:"),
    ],
)
def test_wrong_use_is_one_sentence(filled: Run, words: tuple[str, ...], stdin: bytes, message: str) -> None:
    done = filled(*words, stdin=stdin)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_set_without_an_identity_says_how_to_get_one(run: Run, tmp_path: Path) -> None:
    done = run("set", TARGET, "MAP_API_KEY", stdin=PLANTED)
    assert done.returncode == 2
    assert done.stderr == (
        f"mainstay: {tmp_path / 'identity.txt'}: no age identity here, name yours in MAINSTAY_AGE_IDENTITY or run "
        "`mainstay secrets generate`\n"
    )


def test_the_default_identity_is_in_the_home_folder(run: Run, environ: dict[str, str], tmp_path: Path) -> None:
    del environ["MAINSTAY_AGE_IDENTITY"]
    assert run("generate", TARGET, "--stand-ins").returncode == 0
    identity = tmp_path / "home" / ".config" / "mainstay" / "identity.txt"
    assert identity.stat().st_mode & 0o777 == 0o600
    assert identity.parent.stat().st_mode & 0o777 == 0o700


def on_terminal(environ: dict[str, str], project: Path, words: list[str], answers: list[bytes]) -> tuple[int, str]:
    """Runs the command with a terminal of its own; each answer is typed when the screen waits."""
    child, screen = pty.fork()
    if child == 0:
        os.chdir(project)
        os.execve(sys.executable, [sys.executable, "-m", "mainstay", "secrets", *words], environ)
    seen = b""
    while True:
        try:
            chunk = os.read(screen, 4096)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
        if answers and seen.rstrip().endswith(b":"):
            time.sleep(0.1)
            os.write(screen, answers.pop(0))
            seen += b"\n"
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


def test_get_on_a_terminal_needs_show(filled: Run, project: Path, environ: dict[str, str]) -> None:
    filled("set", TARGET, "MAP_API_KEY", stdin=PLANTED)
    code, screen = on_terminal(environ, project, ["get", TARGET, "MAP_API_KEY"], [])
    assert code == 2
    assert "would be printed on this terminal, add --show" in " ".join(screen.split())
    assert "Tr0ub4dor" not in screen
    code, screen = on_terminal(environ, project, ["get", TARGET, "MAP_API_KEY", "--show"], [])
    assert (code, screen) == (0, f"{PLANTED}\r\n")


def test_set_on_a_terminal_asks_twice_and_shows_nothing(filled: Run, project: Path, environ: dict[str, str]) -> None:
    typed = [f"{PLANTED}\n".encode()] * 2
    code, screen = on_terminal(environ, project, ["set", TARGET, "MAP_API_KEY"], typed)
    assert code == 0, screen
    assert "Tr0ub4dor" not in screen
    assert filled("get", TARGET, "MAP_API_KEY").stdout == PLANTED


# -- nothing shows a value -------------------------------------------------------------------------------------------


@pytest.mark.covers("DF-61")
def test_a_planted_value_is_in_no_output_file_or_process_list(
    filled: Run, project: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    secret = "planted-3f9c-value"
    shown = filled("set", TARGET, "MAP_API_KEY", stdin=secret, MAINSTAY_DEBUG="1")
    outputs = [shown, *(filled(*words, MAINSTAY_DEBUG="1") for words in (("list", TARGET), ("list", TARGET, "--json")))]
    outputs.append(filled("edit", TARGET, EDITOR=editor(tmp_path, "os.system('ps -ef > ' + sys.argv[0] + '.ps')")))
    store_file(project).write_text(store_file(project).read_text().replace("created: 2", "created: x"))
    outputs.append(filled("get", TARGET, "MAP_API_KEY", MAINSTAY_DEBUG="1"))
    assert outputs[-1].returncode == 2
    text = "".join(done.stdout + done.stderr for done in outputs)
    text += (tmp_path / "editor.py.ps").read_text()
    text += "".join(path.read_text() for path in project.rglob("*") if path.is_file())
    assert secret not in text
