"""One host as the machine outside sees it: a disk, a cable, and a container with systemd as its first process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from mainstay.errors import LabError
from mainstay.lab import cgroups
from mainstay.lab.outside import loop_devices_below, mounts_below, remove_tree, run

_STOP_TIMEOUT_S = 20
# Into the host's control groups first, then systemd-nspawn in the same process.
_ENTER = 'for file in $GROUPS_OF_HOST; do echo $$ > "$file"; done; exec "$@"'


@dataclass(frozen=True)
class Machine:
    """A host.

    Attributes:
        link: the name of all that it has outside (`Network.link`).
        folder: its disk and its console.
        layers: what its disk stands on, the topmost first.
        hostname: what it calls itself.
        address: where it is reached.
        binds: directories outside that it sees, by their path inside.
    """

    link: str
    folder: Path
    layers: tuple[Path, ...]
    hostname: str
    address: IPv4Address
    binds: tuple[tuple[Path, str], ...] = ()

    @property
    def root(self) -> Path:
        """Its root file system, seen from outside."""
        return self.folder / "root"

    @property
    def console(self) -> Path:
        """What it wrote to its console."""
        return self.folder / "console.log"

    def make_disk(self) -> None:
        """An empty disk on the image, mounted at `root`.

        Nothing on it is ever synced to the real disk (`volatile`): power cut from the host loses nothing that the
        host wrote, because the page cache is the machine's; and when the machine itself crashes, `up` makes new hosts.
        """
        remove_tree(self.folder)
        upper, work = self.folder / "upper", self.folder / "work"
        for path in (upper, work, self.root):
            path.mkdir(parents=True)
        lower = ":".join(str(layer) for layer in self.layers)
        options = f"lowerdir={lower},upperdir={upper},workdir={work},volatile"
        run(["mount", "-t", "overlay", "overlay", "-o", options, self.root])

    def has_disk(self) -> bool:
        """Whether its disk is there; a crash of the machine outside takes it away."""
        return self.root in mounts_below(self.root)

    def start(self) -> None:
        """Powers it on; it lives on when this process ends."""
        binds = [f"--bind={outside}:{inside}" for outside, inside in self.binds]
        argv = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--console=read-only", "--settings=no"]
        argv += ["--link-journal=no", "--resolv-conf=off", "--timezone=off", f"--machine={self.link}"]
        argv += [f"--hostname={self.hostname}", f"--directory={self.root}", *binds]
        argv += [f"--network-namespace-path=/run/netns/{self.link}", "--capability=CAP_NET_ADMIN"]
        argv += cgroups.unit_arguments()
        # Debian 13's systemd boots on nothing but the unified hierarchy, and 12's takes it as any real host has it.
        # `network` makes /proc/sys/net writable; the namespace is the host's own.
        env = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        env["GROUPS_OF_HOST"] = " ".join(str(path) for path in cgroups.enter_files(self.link))
        with self.console.open("ab") as console:
            subprocess.Popen(
                ["sh", "-c", _ENTER, "sh", *argv],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Pulls the plug: every process of the host is gone when this returns, none was asked; so are its extra disks.

        Raises:
            LabError: processes are still there after 20 s.
        """
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while found := processes_of(self.link):
            for process in found:
                kill(process, self.link)
            if time.monotonic() > deadline:
                raise LabError(f"{self.hostname}: processes {found} are still there {_STOP_TIMEOUT_S} s after SIGKILL.")
            time.sleep(0.02)
        cgroups.remove(self.link)
        # The kernel unmounts what the host had a moment after its last process, and frees the loop devices then.
        while loop_devices_below(self.folder) and time.monotonic() < deadline:
            time.sleep(0.02)

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs `argv` as root in the host, without its network or sshd.

        Raises:
            LabError: the host does not run.
        """
        target = ["--target", str(leader_of(self.link)), "--all", "--wd=/"]
        return ["nsenter", *target, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *argv]

    def is_running(self) -> bool:
        """Whether it has power."""
        return bool(processes_of(self.link))

    def discard(self) -> None:
        """Removes its disk; the host must have stopped."""
        remove_tree(self.folder)

    def last_words(self, lines: int = 5) -> str:
        """The end of its console, for an error."""
        text = self.console.read_text(encoding="utf-8", errors="replace") if self.console.exists() else ""
        return (
            " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip()) or "nothing on its console"
        )


def processes_of(link: str) -> list[int]:
    """The processes of a host: its systemd-nspawn, and all that run in its network namespace.

    They are found by what they are, not by remembered numbers: no crash can leave a number that another process took.
    """
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _belongs(entry, link)]


def kill(process: int, link: str) -> None:
    """SIGKILL to a process, when it is (still) one of the host's.

    A file descriptor stands for the process itself; were its number taken by another in between, the check sees it.
    """
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        if _belongs(Path("/proc", str(process)), link):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
    finally:
        os.close(descriptor)


def leader_of(link: str) -> int:
    """The host's first process, as the machine outside numbers it.

    Raises:
        LabError: the host does not run.
    """
    for process in processes_of(link):
        try:
            status = Path("/proc", str(process), "status").read_text(encoding="utf-8")
        except OSError:
            continue
        numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(numbers) > 1 and numbers[-1] == "1":
            return process
    raise LabError(f"{link}: the host does not run, expected it to be powered on.")


def _belongs(entry: Path, link: str) -> bool:
    try:
        argv = (entry / "cmdline").read_bytes().split(b"\0")
        if b"systemd-nspawn" in argv and f"--machine={link}".encode() in argv:
            return True
        namespace = Path("/run/netns", link)
        inode = (entry / "ns" / "net").stat().st_ino
        return namespace.exists() and inode == namespace.stat().st_ino
    except OSError:  # the process ended meanwhile
        return False
