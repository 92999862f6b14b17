"""GPUs as the driver's own program tells them, and the model file that stands on a host."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass, field, replace

from pyinfra.api import FactBase
from typing_extensions import override

_FIELDS = "index,name,memory.total,memory.used,memory.free,utilization.gpu,driver_version,uuid"
_UUID = re.compile(r"GPU-[0-9a-f-]+")
NO_PROGRAM = "nvidia-smi is not installed"


@dataclass(frozen=True)
class Gpu:
    """One GPU; memory in MiB, `used_pct` of its time. A number that the driver does not tell is None.

    `index` is how nvidia-smi counts it, `uuid` its name, which stays, `minor` the number of its device file: no one of
    them follows from another.
    """

    index: int
    name: str
    total_mib: int | None
    used_mib: int | None
    free_mib: int | None
    used_pct: int | None
    driver: str
    uuid: str
    minor: int | None = None

    @property
    def device(self) -> str:
        """Its device file; empty where its number is not known."""
        return "" if self.minor is None else f"/dev/nvidia{self.minor}"


@dataclass(frozen=True)
class Gpus:
    """The host's GPUs by the driver's count; `reason` says why there are none."""

    found: list[Gpu] = field(default_factory=list)
    reason: str = ""


class GpuInfo(FactBase[Gpus]):
    """What `nvidia-smi` says; a host without it has no GPU that a program could use."""

    @override
    def command(self) -> str:  # type: ignore[override]
        # A driver that hangs makes nvidia-smi wait for ever.
        ask = f"timeout 20 nvidia-smi --query-gpu={_FIELDS} --format=csv,noheader,nounits 2>&1"
        # No query has the minor number, only the whole report.
        report = "timeout 20 nvidia-smi -q -x 2>/dev/null | grep -Eo '<(uuid|minor_number)>[^<]+'"
        none = f"{{ echo {shlex.quote(NO_PROGRAM)}; exit 0; }}"
        return f"command -v nvidia-smi >/dev/null || {none}; {ask} && {report} || true"

    @staticmethod
    @override
    def default() -> Gpus:
        return Gpus([], NO_PROGRAM)

    @override
    def process(self, output: list[str]) -> Gpus:
        return parse_gpus(output)


def parse_gpus(lines: list[str]) -> Gpus:
    """Reads a line a GPU, in the order of `_FIELDS`, and `<uuid>` before `<minor_number>` of each in the whole report.

    Any other line is the reason why there is none.
    """
    found: list[Gpu] = []
    words: list[str] = []
    minors: dict[str, int | None] = {}
    uuid = ""
    for line in lines:
        cells = [cell.strip() for cell in line.split(",")]
        tag, _, value = line.strip().partition(">")
        if tag == "<uuid":
            uuid = value
        elif tag == "<minor_number":
            minors[uuid] = _number(value)
        elif len(cells) == 8 and cells[0].isdecimal():
            found.append(_gpu(cells))
        elif line.strip():
            words.append(line.strip())
    if found:
        told = [replace(gpu, minor=minors.get(gpu.uuid)) for gpu in found]
        return Gpus(sorted(told, key=lambda gpu: gpu.index))
    return Gpus([], words[0] if words else "nvidia-smi names no GPU")


def _gpu(cells: list[str]) -> Gpu:
    numbers = [_number(cell) for cell in cells[2:6]]
    uuid = cells[7] if _UUID.fullmatch(cells[7]) else ""
    return Gpu(int(cells[0]), cells[1], *numbers, driver=cells[6], uuid=uuid)


def _number(cell: str) -> int | None:
    return int(cell) if cell.isdecimal() else None


@dataclass(frozen=True)
class ModelState:
    """The model below one folder: the checksum that the link names, and whether the file is the one that was put there.

    `kept` are the checksums of every whole model on the host.
    """

    sha256: str = ""
    untouched: bool = False
    owner: str = ""
    group: str = ""
    mode: int = 0
    kept: tuple[str, ...] = ()


class ModelFile(FactBase[ModelState]):
    """The model at `path`. Its checksum was proven when it came; that the file is the same one is told by
    size and time of change, since reading gigabytes at each plan would take longer than the plan."""

    @override
    def command(self, path: str) -> str:  # type: ignore[override]
        base, file = map(shlex.quote, posixpath.split(path))
        return (
            f'for m in {base}/*/.model; do [ -f "$m" ] || continue; d=${{m%/.model}}; '
            'printf \'kept\\t%s\\n\' "$(cat "$m")"; done; '
            f"t=$(readlink {base}/{file}) && printf 'link\\t%s\\n' \"${{t%%/*}}\" && "
            f"stat -L -c 'stat %s %Y %U %G %a' {base}/{file} 2>/dev/null | tr ' ' '\\t'; true"
        )

    @staticmethod
    @override
    def default() -> ModelState:
        return ModelState()

    @override
    def process(self, output: list[str]) -> ModelState:
        return parse_model(output)


def parse_model(lines: list[str]) -> ModelState:
    """Reads `kept SHA256 SIZE TIME` of each whole model, `link FOLDER`, and `stat SIZE TIME OWNER GROUP MODE`."""
    kept: dict[str, tuple[str, str]] = {}
    link, stat = "", [""] * 5
    for line in lines:
        match line.replace(" ", "\t").split("\t"):
            case ["kept", sha256, size, time]:
                kept[sha256] = (size, time)
            case ["link", folder]:
                link = folder
            case ["stat", *cells] if len(cells) == 5:
                stat = cells
    sha256 = next((digest for digest in kept if digest[:16] == link), "")
    mode = int(stat[4], 8) if stat[4] and set(stat[4]) <= set("01234567") else 0
    return ModelState(sha256, kept.get(sha256) == (stat[0], stat[1]), stat[2], stat[3], mode, tuple(sorted(kept)))
