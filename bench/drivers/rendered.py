"""`python -m bench.drivers.rendered FOLDER HOST,...`: what Ansible needs to know of the ground: files, names, secrets.

Writes `inventory.json` and every file of every host into FOLDER, which must be its owner's alone: secrets are in them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.ground import VERSION
from mainstay import inventory, project
from mainstay.inventory import Environment, Host
from mainstay.inventory.operator import operator

COMPONENTS = ("base", "postgres", "redis", "nginx", "service")


def main(folder: str, limit: str) -> None:
    """Everything for the hosts of `limit`."""
    os.umask(0o077)
    project.install()
    environment = inventory.load("bench", "staging", lab=inventory.lab_from_environment())
    target = Path(folder)
    chosen = [environment.hosts[name] for name in limit.split(",")]
    shared = {**_shared(environment), "ansible_user": operator(environment)}
    assert environment.lab is not None  # noqa: S101  the bench has no other
    shared["ansible_ssh_private_key_file"] = str(environment.lab.key_path)
    shared["ansible_ssh_common_args"] = f"-o UserKnownHostsFile={environment.lab.known_hosts}"
    hosts = {host.name: _host(environment, host, target) for host in chosen}
    (target / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}, indent=1))


def _shared(environment: Environment) -> dict[str, Any]:
    postgres = importlib.import_module("deploys.components.postgres.model").section(environment)
    grants = importlib.import_module("deploys.components.postgres.grants")
    nginx = importlib.import_module("deploys.components.nginx.files")
    roles = [
        {
            "name": role.name,
            "password": environment.secrets.get(role.secret).reveal(),
            "configuration": dict(role.config),
        }
        for role in grants.roles(postgres)
    ]
    services = {
        name: {
            "port": service.ports("blue")[0],
            "artefact": str(environment.root / "artefacts" / environment.releases[name].artefact.file),
            "sha256": environment.releases[name].artefact.sha256,
        }
        for name, service in environment.services.items()
    }
    return {
        "postgres_roles": roles,
        "postgres_databases": list(postgres.databases),
        "services": services,
        "version": VERSION,
        "site_names": importlib.import_module("deploys.components.nginx.model").site_names(environment),
        "certificate": f"{nginx.certificate_folder(environment)}/live",
    }


def _host(environment: Environment, host: Host, folder: Path) -> dict[str, Any]:
    files: dict[str, list[dict[str, str]]] = {}
    for stem in COMPONENTS:
        for managed in importlib.import_module(f"deploys.components.{stem}.files").files(environment, host):
            path = folder / "files" / host.name / managed.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(environment.secrets.resolve(managed.content))
            row = {"path": managed.path, "src": str(path), "mode": f"{managed.mode:04o}"}
            files.setdefault(stem, []).append({**row, "owner": managed.owner, "group": managed.group})
    nginx = importlib.import_module("deploys.components.nginx.files")
    folders = {str(Path(row["path"]).parent) for row in files["nginx"]}
    folders |= {nginx.challenge_root(environment), f"{nginx.certificate_folder(environment)}/live"}
    return {
        "ansible_host": host.address,
        "ansible_port": host.ssh_port,
        "files": files,
        "nginx_folders": sorted(folders),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
