"""What is in an image: the recipe, whose digest is the image's name in the cache; pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from mainstay.lab.mirror import SUITES, Mirror

# What Debian's own cloud images add to `minbase` (their classes SYSTEM_BOOT and CLOUD). Left out: what needs a kernel
# or a boot loader of its own; cloud-init and netplan, whose work the lab does; systemd-resolved, because the gateway's
# address stands in resolv.conf; and tools for people at a keyboard (class EXTRAS).
PACKAGES = (
    "apt-utils",
    "ca-certificates",
    "dbus",
    "init",
    "iproute2",
    "iptables",
    "iputils-ping",
    "less",
    "libnss-myhostname",
    "libpam-systemd",
    "nano",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd-timesyncd",
    "tzdata",
    "unattended-upgrades",
    "vim-tiny",
    "whiptail",
    "zstd",
)

_FINISH = r"""
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/apt/sources.list "$root"/etc/apt/apt.conf.d/99mmdebstrap
rm -f "$root"/etc/resolv.conf "$root"/etc/hostname "$root"/usr/sbin/policy-rc.d
: > "$root"/etc/machine-id
rm -f "$root"/var/lib/dbus/machine-id
printf '%s' "$SOURCES" > "$root"/etc/apt/sources.list.d/debian.sources
printf '%s' "$APT" > "$root"/etc/apt/apt.conf.d/20image
printf '[Match]\nName=eth0\n' > "$root"/etc/systemd/network/10-eth0.network
chroot "$root" useradd --create-home --shell /bin/bash --groups adm,sudo debian
echo 'debian ALL=(ALL) NOPASSWD:ALL' > "$root"/etc/sudoers.d/90-cloud-init-users
chmod 0440 "$root"/etc/sudoers.d/90-cloud-init-users
install -d -m 0700 -o 1000 -g 1000 "$root"/home/debian/.ssh
chroot "$root" systemctl --quiet enable systemd-networkd
chroot "$root" systemctl --quiet mask systemd-networkd-wait-online.service systemd-firstboot.service
"""


@dataclass(frozen=True)
class Recipe:
    """All that decides what a base image holds."""

    debian: int
    sources: str
    final_sources: str
    apt: str
    packages: tuple[str, ...]
    finish: str = _FINISH
    # Package lists stay, as a part of the packages that this machine keeps; a host asks whether they still hold.
    skip: str = "cleanup/apt/lists"

    @property
    def suite(self) -> str:
        """Debian's name of the release."""
        return SUITES[self.debian]

    @property
    def name(self) -> str:
        """The directory of the image: readable, and different for every recipe."""
        return f"debian-{self.debian}-{digest(asdict(self))}"


def base(debian: int, mirror: Mirror) -> Recipe:
    """The recipe of a host's image: what a Debian cloud image has, and nothing of what Mainstay installs."""
    # Descriptions in other languages are a third of what `apt-get update` downloads, and nobody reads them here.
    apt = "\n".join(['Acquire::Languages "none";', *mirror.settings]) + "\n"
    return Recipe(debian, mirror.one_line_sources(debian), mirror.sources(debian), apt, PACKAGES)


def digest(content: object) -> str:
    """Twelve hexadecimal digits of the SHA-256 of any JSON value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
