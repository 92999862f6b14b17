"""Building images: once a recipe, whole or not at all, by one process at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from mainstay.lab.mirror import Mirror
from mainstay.lab.outside import Say, locked, remove_tree, run
from mainstay.lab.paths import IMAGES
from mainstay.lab.recipe import Recipe, base

_UNUSED_S = 7 * 24 * 3600


def ensure_base(debian: int, mirror: Mirror, say: Say) -> Path:
    """The directory of the base image of this Debian, built when the cache does not have it.

    Raises:
        LabError: mmdebstrap failed.
    """
    recipe = base(debian, mirror)
    return ensure(recipe.name, lambda folder: _bootstrap(recipe, mirror, folder), say)


def ensure(name: str, build: Callable[[Path], None], say: Say) -> Path:
    """The image called `name`, built by `build` into the folder that it is given when it is not there yet."""
    image = IMAGES / name
    if _is_there(image):
        return image
    IMAGES.mkdir(parents=True, exist_ok=True)
    with locked(f"image-{name}", say):
        if _is_there(image):
            return image
        begin = time.monotonic()
        say(f"building the image {name}, once")
        # A name of its own: what a killed `lab up` had started may still be writing to its folder.
        half_built = IMAGES / f".{name}.{os.getpid()}"
        remove_tree(half_built)
        build(half_built)
        half_built.rename(image)
        _prune(name)
        say(f"built the image {name} in {time.monotonic() - begin:.0f} s")
    return image


def _is_there(image: Path) -> bool:
    try:
        os.utime(image)
    except FileNotFoundError:
        return False
    return True


def _prune(built: str) -> None:
    """Removes images that nobody asked for in a week and that no host stands on, and half-built ones of `built`."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    for image in IMAGES.iterdir():
        unused = time.time() - image.stat().st_mtime > _UNUSED_S and str(image) not in mounts
        if unused or image.name.startswith(f".{built}."):
            remove_tree(image)


def _bootstrap(recipe: Recipe, mirror: Mirror, folder: Path) -> None:
    """Runs mmdebstrap; the image is thrown away when it fails, so nothing waits for the disk."""
    lines = recipe.apt.splitlines()
    if mirror.proxy:
        lines.append(f'Acquire::http::Proxy "{mirror.proxy}";')
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase"]
    argv += [f"--skip={recipe.skip}", "--dpkgopt=force-unsafe-io", *[f"--aptopt={line}" for line in lines]]
    argv += [f"--include={','.join(recipe.packages)}", f"--customize-hook={recipe.finish}", recipe.suite]
    env = {"SOURCES": recipe.final_sources, "APT": recipe.apt}
    run([*argv, folder, "-"], stdin=recipe.sources, env=env)
