"""Questions to a PostgreSQL cluster by psql: each by itself, or those of all its databases by one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from mainstay import families

# runuser would open a session by PAM, which costs more than psql does.
_AS_POSTGRES = "HOME=/ setpriv --reuid=postgres --regid=postgres --init-groups"


def program(major: int, name: str = "psql -XAtqw") -> str:
    """One of PostgreSQL's programs; on the path is Debian's wrapper in Perl, which takes twice psql's own time."""
    return f"/usr/lib/postgresql/{major}/bin/{name}"


def rows(major: int, port: int, sql: str, databases: Sequence[str] = ("postgres",)) -> str:
    """A shell command that prints what `parse_rows` reads: what `sql` finds in each database.

    It fails where the server does not answer, or a database is not there.
    """
    wrapped = shlex.quote(f"SELECT coalesce(json_agg(row), '[]') FROM ({sql}) AS row")  # noqa: S608  sql is ours
    asked = [f"-c '\\connect {name}' -c {wrapped}" for name in databases[1:]]
    ask = f"{program(major)} -v ON_ERROR_STOP=1 -p {port} -d {shlex.quote(databases[0])}"
    return " ".join(["cd / &&", _AS_POSTGRES, ask, f"-c {wrapped}", *asked])


def parse_rows(text: str) -> list[list[list[Any]]]:
    """For each database its rows, each a list of its columns' values in their order."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while text[place:].strip():
        rows, place = decoder.raw_decode(text, len(text) - len(text[place:].lstrip()))
        found.append([list(row.values()) for row in rows])
    return found


def query(major: int, cluster: str, database: str, sql: str) -> str:
    """A shell command that prints the result of `sql`; nothing where the cluster, its server or the database is not."""
    asked = f"-d {shlex.quote(database)} -c {shlex.quote(' '.join(sql.split()))}"
    return f"{_server(major, cluster)}{asked}{_END}"


def _server(major: int, cluster: str) -> str:
    """The command up to what is asked, where the server runs: on its socket, by the account that may ask everything.

    The PID file's fourth and fifth line are the port and the socket's folder.
    """
    pidfile = f"/var/lib/postgresql/{major}/{cluster}/postmaster.pid"
    return (
        f"if [ -s {pidfile} ] && [ -x {program(major, 'psql')} ]; then cd / && "
        f"{{ read -r _; read -r _; read -r _; read -r port; read -r folder; }} < {pidfile}; "
        f'{_AS_POSTGRES} {program(major)} -h "$folder" -p "$port" '
    )


_END = " 2>/dev/null || true; fi"
# A question of `query`; only a database whose name needs no quotes anywhere is asked together with others.
_QUERY = re.compile(
    r"(?P<server>if \[ -s /var/lib/postgresql/(?P<major>\d+)/(?P<cluster>[^/]+)/postmaster\.pid .*? -p \"\$port\" )"
    r"-d (?P<database>[a-z_][a-z0-9_]*) -c (?P<sql>'[^']*'(?:\"'\"'[^']*')*)" + re.escape(_END)
)
_MARK = "-- mainstay answers "


def _key(command: str) -> str | None:
    match = _QUERY.fullmatch(command)
    known = match is not None and match["server"] == _server(int(match["major"]), match["cluster"])
    return match["server"] if match and known else None


def _joined(commands: Sequence[str]) -> str:
    """One psql for all: it connects to each database in turn, and says where it is before each answer.

    Host, port and user are named each time: after a database that is not there, psql has nothing to take them from.
    """
    mark = shlex.quote(f"\\echo {_MARK}:DBNAME")
    asked = [
        f"""-c "\\\\connect {match["database"]} postgres '$folder' $port" -c {mark} -c {match["sql"]}"""
        for match in _matches(commands)
    ]
    return f"{_key(commands[0])}-d postgres {' '.join(asked)}{_END}"


def _parted(commands: Sequence[str], out: bytes) -> list[bytes] | None:
    """Each answer follows its own mark; where psql could not connect, it names no database, and there is no answer."""
    first, *answers = out.split(_MARK.encode())
    if first or len(answers) != len(commands):
        return None
    parts = []
    for match, answer in zip(_matches(commands), answers, strict=True):
        where, _, said = answer.partition(b"\n")
        if said and where.decode() != match["database"]:
            return None
        parts.append(said)
    return parts


def _matches(commands: Sequence[str]) -> list[re.Match[str]]:
    return [match for match in map(_QUERY.fullmatch, commands) if match]


families.register("PostgreSQL's databases", families.Family(_key, _joined, _parted))
