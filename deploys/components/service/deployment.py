"""One service as it should run on one host: a value from which files, digests and the switch's input are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstay.files import FileSet, ManagedFile, tar_of

Resolve = Callable[[str], str]
Ask = Callable[[Any], Any]
"""Asks a host for a fact; what describes a service takes it where that depends on the host itself."""
CHECK, RELOAD = "/usr/local/lib/mainstay/nginx-check", "/usr/local/lib/mainstay/nginx-reload"


@dataclass(frozen=True)
class Deployment:
    """What a service should run on a host.

    `env` holds secrets as placeholders. `nginx` is the text of nginx's file for each slot, `ports` their instances,
    `port` the canonical one. `health` are the checks as `templates/hostkit/probe` reads them, asked with `host_header`.
    `ready_s` is how long a new instance may take until it answers, `drain_s` how long an old request may; in seconds.
    `surroundings` is what other components put beside its processes, in a text that differs where that does.
    """

    service: str
    version: str
    base: str
    unit: str
    user: str
    env_path: str
    nginx_path: str
    env: Mapping[str, str]
    unit_text: str
    nginx: Mapping[str, str]
    ports: Mapping[str, Sequence[int]]
    port: int
    host_header: str
    health: Sequence[Mapping[str, Any]]
    ready_s: int
    drain_s: int
    surroundings: str = ""

    @property
    def unit_path(self) -> str:
        """The template unit's file."""
        return f"/etc/systemd/system/{self.unit}@.service"

    def name_of(self, port: int) -> str:
        """The unit of one instance."""
        return f"{self.unit}@{port}.service"

    def parts(self, resolve: Resolve) -> dict[str, str]:
        """What makes one deployment differ from another; whatever differs takes the way over the other slot."""
        beside = {"surroundings": _digest(self.surroundings)} if self.surroundings else {}
        return {
            "version": self.version,
            "environment": _digest(env_text(self.env, resolve)),
            "unit": _digest(self.unit_text),
            "instances": json.dumps({slot: list(ports) for slot, ports in sorted(self.ports.items())}),
            **beside,
        }

    def slot_text(self, slot: str, resolve: Resolve) -> str:
        """The slot's own file: what is in it, and how it proves itself. Only root reads it, for it holds digests."""
        held = {
            "service": self.service,
            "slot": slot,
            "version": self.version,
            "parts": self.parts(resolve),
            "ports": list(self.ports[slot]),
            "host_header": self.host_header,
            "health": [dict(check) for check in self.health],
        }
        return json.dumps(held, sort_keys=True) + "\n"

    def slot_file(self, slot: str, resolve: Resolve) -> ManagedFile:
        """Where `slot_text` stands."""
        return ManagedFile(f"{self.base}/slots/{slot}.json", self.slot_text(slot, resolve), mode=0o600)

    def nginx_files(self, slot: str) -> FileSet:
        """nginx's own file for the service, which may change without a new process."""
        file = ManagedFile(self.nginx_path, self.nginx[slot], mode=0o600)
        return FileSet([file], check=CHECK, activate=RELOAD)

    def archive(self, slot: str, resolve: Resolve) -> bytes:
        """The tar that `switch` reads on the host, secrets in place; it goes by stdin."""
        spec = {
            "service": self.service,
            "version": self.version,
            "slot": slot,
            "base": self.base,
            "unit": self.unit,
            "unit_file": self.unit_path,
            "user": self.user,
            "env": self.env_path,
            "nginx": self.nginx_path,
            "ports": " ".join(str(port) for port in self.ports[slot]),
            "port": str(self.port),
            "ready_s": str(self.ready_s),
            "drain_s": str(self.drain_s),
        }
        members = {
            "spec": "".join(f"{key}={value}\n" for key, value in spec.items()),
            "env": env_text(self.env, resolve),
            "unit": self.unit_text,
            "nginx": self.nginx[slot],
            "slot.json": self.slot_text(slot, resolve),
            "end": "",
        }
        return tar_of({name: text.encode() for name, text in members.items()})


def env_text(values: Mapping[str, str], resolve: Resolve) -> str:
    """The environment file: each value in double quotes, as systemd reads it, quoted after its secrets are in place."""
    return "".join(f"{name}={_quoted(resolve(value))}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    for special in ("\\", '"', "`", "$"):
        value = value.replace(special, f"\\{special}")
    return f'"{value}"'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
