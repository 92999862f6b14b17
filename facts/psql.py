"""Questions to a PostgreSQL cluster by psql: each by itself, or those of all its databases by one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from mainstay import families


def query(major: int, cluster: str, database: str, sql: str) -> str:
    """A shell command that prints the result of `sql`; nothing where the cluster, its server or the database is not."""
    asked = f"-d {shlex.quote(database)} -c {shlex.quote(' '.join(sql.split()))}"
    return f"{_server(major, cluster)}{asked}{_END}"


def _server(major: int, cluster: str) -> str:
    """The command up to what is asked, where the server runs: on its socket, by the account that may ask everything.

    The PID file's fourth and fifth line are the port and the socket's folder. runuser would open a session by PAM,
    which costs more than psql does.
    """
    pidfile = f"/var/lib/postgresql/{major}/{cluster}/postmaster.pid"
    psql = f"/usr/lib/postgresql/{major}/bin/psql"
    return (
        f"if [ -s {pidfile} ] && [ -x {psql} ]; then cd / && {{ read -r _; read -r _; read -r _; read -r port; "
        f"read -r folder; }} < {pidfile}; HOME=/ setpriv --reuid=postgres --regid=postgres --init-groups {psql} "
        '-XAtqw -h "$folder" -p "$port" '
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
