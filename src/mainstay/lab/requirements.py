"""Whether the lab can run here: one sentence that says what is missing, and what works without it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

from mainstay.errors import LabError

# Debian's package of each program that the lab starts.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "mount": "mount",
    "mkfs.ext4": "e2fsprogs",
}
WITHOUT = "Without the lab these work: mainstay check, render, schema, secrets."


def missing(
    system: str, user: int, which: Callable[[str], str | None], filesystems: str, links: Callable[[str], bool]
) -> str | None:
    """What the lab lacks, as a sentence without its end; None when it can run.

    Args:
        system: the operating system, as `platform.system()` names it.
        user: the effective user id.
        which: the path of a program, None when it is not installed.
        filesystems: the text of /proc/filesystems.
        links: whether the kernel can make a network link of this type.
    """
    if system != "Linux":
        return f"this is {system}, and its hosts are containers of Linux"
    if user != 0:
        return "it boots hosts and lays networks, and for that it must be started as root"
    absent = {package for program, package in PROGRAMS.items() if which(program) is None}
    if absent:
        return f"programs are missing (apt-get install {' '.join(sorted(absent))})"
    if "overlay" not in filesystems.split():
        return "this kernel has no overlayfs (CONFIG_OVERLAY_FS)"
    for kind, option in (("bridge", "CONFIG_BRIDGE"), ("veth", "CONFIG_VETH")):
        if not links(kind):
            return f"this kernel has no {kind} links ({option})"
    return None


def require() -> None:
    """Returns when the lab can run on this machine.

    Raises:
        LabError: it cannot; the message says why and what works without it.
    """
    fault = missing(platform.system(), os.geteuid(), _which, _filesystems(), _can_link)
    if fault:
        raise LabError(f"The lab cannot run here: {fault}. {WITHOUT}")


def _which(program: str) -> str | None:
    # A root shell that came from plain `su` has no sbin in its PATH.
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _filesystems() -> str:
    path = Path("/proc/filesystems")
    if "overlay" not in path.read_text(encoding="ascii"):
        os.system("modprobe overlay 2>/dev/null")  # noqa: S605 - a constant; where it fails the sentence says so
    return path.read_text(encoding="ascii")


def _can_link(kind: str) -> bool:
    name = f"mstry{os.getpid() % 1_000_000}"
    made = os.system(f"ip link add {name} type {kind} 2>/dev/null")  # noqa: S605 - as above; it loads the module too
    os.system(f"ip link del {name} 2>/dev/null")  # noqa: S605
    return made == 0
