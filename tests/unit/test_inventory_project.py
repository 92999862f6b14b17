"""The operator's own files over the bundled ones, file by file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay import project
from mainstay.errors import UsageError
from tests.unit.inventories import SHIPPED, copied

ASK = """
import sys
from mainstay import project
project.install()
import deploys.components.redis.model as own, deploys.components.nginx.model as shipped, deploys.components.extra.model
import tests.verify
print(own.MARK, hasattr(shipped, "Section"), project.component_model("extra").MARK, project.component_model("none"))
print("extra" in project.stems(), len(tests.verify.__path__))
"""


def run(code: str, root: Path) -> str:
    """The code in a new process, in the project: this one has its modules already."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAINSTAY_")}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = copied(tmp_path)
    for stem in ("redis", "extra"):
        folder = base / "deploys" / "components" / stem
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(f"MARK = 'own {stem}'\n")
    (base / "tests" / "verify").mkdir(parents=True)
    (base / "templates").mkdir()
    return base


def test_own_modules_come_first_and_the_rest_is_bundled(root: Path) -> None:
    assert run(ASK, root).splitlines() == ["own redis True own extra None", "True 2"]


def test_layers_are_the_own_folder_then_the_bundled_one(root: Path) -> None:
    assert project.layers("templates", root) == [root / "templates", project.bundled() / "templates"]
    assert project.layers("nosuch", root) == []


def test_files_of_both_layers_by_name(root: Path) -> None:
    found = project.files("deploys/components", root)
    assert found["redis/model.py"] == root / "deploys/components/redis/model.py"
    assert found["nginx/model.py"] == project.bundled() / "deploys/components/nginx/model.py"


def test_the_root_is_the_nearest_folder_with_inventories(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTAY_PROJECT", raising=False)
    monkeypatch.chdir(root / "inventories" / "everydayai")
    assert project.root() == root
    monkeypatch.setenv("MAINSTAY_PROJECT", str(SHIPPED.parent))
    assert project.root() == SHIPPED.parent
    monkeypatch.setenv("MAINSTAY_PROJECT", "/nowhere")
    with pytest.raises(UsageError, match="MAINSTAY_PROJECT: found /nowhere, expected a folder that holds inventories/"):
        project.root()


def test_an_own_model_that_cannot_be_imported_is_one_sentence(root: Path) -> None:
    (root / "deploys/components/extra/model.py").write_text("import nosuch\n")
    code = """
from mainstay import project
try:
    project.component_model("extra")
except Exception as error:
    print(type(error).__name__, error)
"""
    assert run(code, root).startswith(
        "UsageError deploys/components/extra/model.py: found ModuleNotFoundError (No module named 'nosuch'), expected"
    )


def test_pytest_still_finds_what_it_rewrites() -> None:
    """Else a verification that is run by hand says `AssertionError`, and not what was found."""
    project.install()
    names = [getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path]
    assert names.index("AssertionRewritingHook") < names.index("_LayeredFinder") < names.index("PathFinder")
