"""The project around a command: the operator's own folder first, what Mainstay ships under it, file by file.

A project is a folder with `inventories/`. Its own `deploys/`, `facts/`, `templates/` and `tests/verify/` are laid over
the bundled ones: `import deploys.components.nginx.files` finds the operator's file when there is one, and Mainstay's
otherwise, although both folders hold a package `deploys.components.nginx`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from mainstay.errors import UsageError

LAYERED = ("deploys", "facts", "tests")
_PACKAGE = Path(__file__).resolve().parent


def bundled() -> Path:
    """The folder with what Mainstay ships: inside the wheel, or the source tree itself."""
    inside = _PACKAGE / "_project"
    return inside if inside.is_dir() else _PACKAGE.parents[1]


def find_root(start: Path | None = None) -> Path | None:
    """The nearest folder at or above `start` (the current one by default) that has `inventories/`."""
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "inventories").is_dir()), None)


def root() -> Path:
    """The project: `MAINSTAY_PROJECT`, else the nearest folder with `inventories/`, else the bundled one.

    Raises:
        UsageError: `MAINSTAY_PROJECT` names no such folder.
    """
    named = os.environ.get("MAINSTAY_PROJECT")
    if not named:
        return find_root() or bundled()
    folder = Path(named).expanduser().resolve()
    if not (folder / "inventories").is_dir():
        raise UsageError(f"MAINSTAY_PROJECT: found {named}, expected a folder that holds inventories/.")
    return folder


def layers(part: str, base: Path | None = None) -> list[Path]:
    """The folders called `part` (such as `deploys/components`), the operator's own first.

    Args:
        part: the folder's path in a project.
        base: the project, by default `root()`.
    """
    folders = [layer / part for layer in dict.fromkeys((base or root(), bundled()))]
    return [folder for folder in folders if folder.is_dir()]


def files(part: str, base: Path | None = None) -> dict[str, Path]:
    """Every file below `part`, by its path there: the operator's own where both layers have one.

    What Python and editors leave behind is none of the project's.
    """
    found: dict[str, Path] = {}
    for folder in layers(part, base):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            hidden = any(piece.startswith((".", "__pycache__")) for piece in name.parts)
            if path.is_file() and not hidden and not name.name.endswith((".pyc", "~")):
                found.setdefault(name.as_posix(), path)
    return found


def template_dirs() -> list[Path]:
    """Where templates are looked for, in this order."""
    return layers("templates")


def verify_dirs() -> list[Path]:
    """Where verifications are looked for, in this order."""
    return layers("tests/verify")


def systems(base: Path | None = None) -> list[str]:
    """The systems that the project describes, by name."""
    folders = ((base or root()) / "inventories").glob("*/system.yaml")
    return sorted(path.parent.name for path in folders)


def stems() -> list[str]:
    """The components that have a model of their own section."""
    return sorted({path.parent.name for folder in layers("deploys/components") for path in folder.glob("*/model.py")})


def component_model(stem: str) -> ModuleType | None:
    """`deploys.components.<stem>.model`, None when there is no such component.

    Raises:
        UsageError: the file is there and cannot be imported.
    """
    if not any((folder / stem / "model.py").is_file() for folder in layers("deploys/components")):
        return None
    install()
    name = f"deploys.components.{stem}.model"
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever an operator's own file does
        raise UsageError(
            f"deploys/components/{stem}/model.py: found {type(error).__name__} ({error}), "
            "expected a module that can be imported."
        ) from error


def extend_path(package: ModuleType) -> None:
    """Let an already imported package find the operator's own modules first, then the bundled ones."""
    found = [str(folder) for folder in layers(package.__name__.replace(".", "/"))]
    package.__path__ = [*found, *(entry for entry in package.__path__ if entry not in found)]


@cache
def install() -> None:
    """Make `deploys`, `facts` and `tests.verify` importable from both layers; safe to call again."""
    # Behind pytest's own, which has to find the modules whose assertions it rewrites.
    sys.meta_path.insert(sys.meta_path.index(PathFinder), _LayeredFinder())
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in LAYERED and hasattr(module, "__path__"):
            extend_path(module)


class _LayeredFinder(MetaPathFinder):
    """Finds packages and modules below the layered names in every layer."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in LAYERED:
            return None
        part = fullname.replace(".", "/")
        folders = layers(part)
        if folders:
            return _package(fullname, folders)
        parent, _, stem = part.rpartition("/")
        for folder in layers(parent) if parent else []:
            file = folder / f"{stem}.py"
            if file.is_file():
                return importlib.util.spec_from_file_location(fullname, file)
        return None


def _package(fullname: str, folders: list[Path]) -> ModuleSpec:
    """A package over all its folders; the first `__init__.py` among them is run."""
    locations = [str(folder) for folder in folders]
    for folder in folders:
        init = folder / "__init__.py"
        if init.is_file():
            spec = importlib.util.spec_from_file_location(fullname, init, submodule_search_locations=locations)
            if spec is not None:
                return spec
    spec = ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = locations
    return spec
