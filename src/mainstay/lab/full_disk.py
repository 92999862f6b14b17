"""A small disk of its own for one directory of a host, to see what happens when it is full."""

from __future__ import annotations

from pathlib import Path

from mainstay.lab.machine import Machine
from mainstay.lab.outside import run

# Run in the host, whose /dev has no disks: what the directory holds goes along.
_ATTACH = """
set -eu
number=$(cat /sys/block/"$1"/dev)
[ -b /dev/"$1" ] || mknod -m 0600 /dev/"$1" b "${number%:*}" "${number#*:}"
mkdir -p "$2" /run/mainstay-lab-disk
mount -t ext4 /dev/"$1" /run/mainstay-lab-disk
chown --reference="$2" /run/mainstay-lab-disk
chmod --reference="$2" /run/mainstay-lab-disk
rmdir /run/mainstay-lab-disk/lost+found
cp -a "$2"/. /run/mainstay-lab-disk/
mount --bind /run/mainstay-lab-disk "$2"
umount /run/mainstay-lab-disk
"""


def attach(machine: Machine, path: str, size: int) -> None:
    """Mounts an ext4 file system of `size` bytes on the directory `path` of a running host.

    What the directory holds is copied onto it. The disk goes away with `detach` and when the host loses its power.

    Raises:
        LabError: the host does not run, or the machine outside has no loop devices.
    """
    image = machine.folder / f"disk{path.replace('/', '-')}.img"
    with image.open("wb") as file:
        file.truncate(size)
    run(["mkfs.ext4", "-q", "-m", "0", image])
    device = run(["losetup", "--find", "--show", image]).strip()
    try:
        run(machine.inside("sh", "-c", _ATTACH, "sh", Path(device).name, path))
    finally:
        # The kernel frees a device that is in use once it is unmounted, so a killed host leaves none.
        run(["losetup", "--detach", device])


def detach(machine: Machine, path: str) -> None:
    """Takes the disk away again; what the directory held before shows through.

    Raises:
        LabError: it is in use, or there is none.
    """
    run(machine.inside("umount", path))
    (machine.folder / f"disk{path.replace('/', '-')}.img").unlink()
