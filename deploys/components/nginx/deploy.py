"""nginx on web hosts (TLS, sites) and on app hosts (their services' canonical ports)."""

from __future__ import annotations

from deploys.components.nginx.files import OWN_FOLDERS, certificate_folder, challenge_root, files
from deploys.components.nginx.model import section, site_names
from deploys.operations import certificates, units
from deploys.operations.files import KIT, folder, installed
from mainstay import context
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    return ["nginx", "openssl", "procps", "curl"]


def starts(environment: Environment, member: Host) -> list[str]:
    """The units that Debian starts with its packages."""
    return ["nginx.service"]


def apply() -> None:
    """Certificate, then every file as one set that nginx itself accepts."""
    environment, member = context.current()
    if "web" in member.roles:
        folder(challenge_root(environment), name="Folder for ACME challenges")
        tls = section(environment).tls
        if tls.certificate is None and tls.self_signed:
            certificates.self_signed(
                folder=certificate_folder(environment), names=site_names(environment), name="Certificate of the sites"
            )
    installed(
        FileSet(
            files(environment, member),
            only=OWN_FOLDERS,
            check=f"{KIT}/nginx-check",
            activate=f"{KIT}/nginx-reload",
            units=["nginx.service"],
        ),
        name="nginx configuration",
    )
    units.running(["nginx.service"], name="nginx runs")
