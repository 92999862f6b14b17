"""Cross-checks of `logs`: whose files, where they stand, and that they fit."""

from __future__ import annotations

from collections.abc import Iterator

from mainstay.errors import Problem
from mainstay.inventory.environment import Environment
from mainstay.inventory.fields import format_size


def clashes(env: Environment) -> Iterator[Problem]:
    """A file in a folder that is not the system's own, one that two services write, more than a disk holds."""
    logs, folder = env.common.logs, f"/var/log/{env.system}/"
    first: dict[str, str] = {}
    for name, path in logs.files.items():
        key = ("logs", "files", name)
        if not path.startswith(folder):
            yield env.problem(key, path, f"a file of {folder}")
        if path in first:
            yield env.problem(key, f"{path}, which {first[path]} has", "a file of its own")
        first.setdefault(path, name)
    for host in env.hosts.values():
        # The file itself, and those that were rotated; rotation makes one more before it takes the oldest away.
        count = (logs.keep + 2) * sum(service.name in logs.files for service in env.services_on(host))
        if count * logs.max_size > host.disk:
            found = f"{format_size(logs.max_size)}, {count} files of which may stand on {host.name}"
            yield env.problem(("logs", "max_size"), found, f"files that fit its disk of {format_size(host.disk)}")
            return


def references(env: Environment) -> Iterator[Problem]:
    """Files of services that have no log: there is no such service, or nginx serves it."""
    writers = [service.name for service in env.services.values() if service.kind != "static"]
    for name in env.common.logs.files:
        if name not in writers:
            expected = f"a service with processes: {', '.join(writers) or 'there is none'}"
            yield env.problem(("logs", "files", name), repr(name), expected)
