"""Stand-ins for models: as many bytes as a small network has, the same on every machine, and nothing that computes."""

from __future__ import annotations

import hashlib
from pathlib import Path

SIZE = 16 * 1024 * 1024
_BLOCK = 32


def build(name: str, folder: Path) -> Path:
    """Writes the stand-in of that name, where it is not there yet; its bytes follow from its name alone."""
    path = folder / name
    if not path.exists() or path.stat().st_size != SIZE:
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{name}.part")
        part.write_bytes(content(name))
        part.replace(path)
    return path


def content(name: str) -> bytes:
    """The bytes of the stand-in: SHA-256 of its name's digest and a counter, block after block."""
    seed = hashlib.sha256(name.encode()).digest()
    blocks = (hashlib.sha256(seed + number.to_bytes(8, "big")).digest() for number in range(SIZE // _BLOCK))
    return b"".join(blocks)


def of(inventory: Path, folder: Path) -> list[Path]:
    """Builds the model that the inventory (a `system.yaml`) takes from artefacts/; nothing where it takes none."""
    import yaml  # building the example needs the standard library only

    data = yaml.safe_load(inventory.read_text(encoding="utf-8"))
    name = ((data.get("ml") or {}).get("model") or {}).get("file")
    return [build(name, folder)] if name else []
