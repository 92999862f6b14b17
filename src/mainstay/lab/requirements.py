"""Whether the lab can run here: one sentence that says what is missing, and what works without it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from mainstay.errors import LabError

# Debian's package of each program that the lab starts.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "apt-config": "apt",
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
    system: str,
    user: int,
    which: Callable[[str], str | None],
    filesystems: Callable[[], str],
    works: Callable[[Sequence[str]], bool],
) -> str | None:
    """What the lab lacks, as a sentence without its end; None when it can run.

    Args:
        system: the operating system, as `platform.system()` names it.
        user: the effective user id.
        which: the path of a program, None when it is not installed.
        filesystems: gives the text of /proc/filesystems.
        works: whether this command ends with 0.
    """
    if system != "Linux":
        return f"this is {system}, and its hosts are containers of Linux"
    if user != 0:
        return "it boots hosts and lays networks, and for that it must be started as root"
    absent = {package for program, package in PROGRAMS.items() if which(program) is None}
    if absent:
        return f"programs are missing (apt-get install {' '.join(sorted(absent))})"
    return missing_in_kernel(filesystems, works)


def missing_in_kernel(filesystems: Callable[[], str], works: Callable[[Sequence[str]], bool]) -> str | None:
    """What this kernel lacks, as `missing` says it."""
    if "overlay" not in filesystems().split() and not works(["modprobe", "overlay"]):
        return "this kernel has no overlayfs (CONFIG_OVERLAY_FS)"
    for kind, option in (("bridge", "CONFIG_BRIDGE"), ("veth", "CONFIG_VETH")):
        # A link of this kind in a network namespace that ends with the command.
        if not works(["unshare", "--net", "ip", "link", "add", "try0", "type", kind]):
            return f"this kernel has no {kind} links ({option}), or this is a container that may not make them"
    if not works(["nft", "--check", "add", "table", "ip", "mslab-try"]):
        return "this kernel has no nftables (CONFIG_NF_TABLES)"
    return None


def require() -> None:
    """Returns when the lab can run on this machine.

    Raises:
        LabError: it cannot; the message says why and what works without it.
    """
    fault = missing(platform.system(), os.geteuid(), _which, _filesystems, _works)
    if fault:
        raise LabError(f"The lab cannot run here: {fault}. {WITHOUT}")


def _which(program: str) -> str | None:
    # A root shell that came from plain `su` has no sbin in its PATH.
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _filesystems() -> str:
    return Path("/proc/filesystems").read_text(encoding="ascii")


def _works(argv: Sequence[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
