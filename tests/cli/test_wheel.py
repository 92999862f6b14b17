"""The wheel holds what git has and nothing more, and an operator's project works from it alone."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("deploys/", "facts/", "templates/", "tests/verify/")


def _run(*argv: str | Path, cwd: Path, ok: bool = True) -> str:
    done = subprocess.run([str(word) for word in argv], cwd=cwd, capture_output=True, text=True)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out, cwd=ROOT)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A bin folder in which `mainstay` comes from the wheel; its dependencies are those of the test's own interpreter."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, system_site_packages=False)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    dependencies = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    # After the wheel's own folder; the editable install of this tree is one of the .pth files that are not followed here.
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    program = folder / "bin" / "mainstay"
    program.write_text(f"#!{folder}/bin/python\nfrom mainstay.__main__ import main\nmain()\n")
    program.chmod(0o755)
    return program


def test_the_wheel_holds_what_git_has(wheel):
    tracked = set(_run("git", "ls-files", cwd=ROOT).splitlines())
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    project = {name.removeprefix("mainstay/_project/") for name in names if name.startswith("mainstay/_project/")}
    package = {f"src/{name}" for name in names if not name.startswith("mainstay/_project/")}
    assert package == {name for name in tracked if name.startswith("src/")}
    assert project == {name for name in tracked if name.startswith(SHIPPED)} | {"tests/__init__.py"}


def test_a_new_project_checks_and_renders_from_the_wheel(installed, tmp_path):
    where = _run(installed.parent / "python", "-c", "import mainstay; print(mainstay.__file__)", cwd=tmp_path)
    assert str(installed.parent.parent) in where
    _run(installed, "init", "shop", cwd=tmp_path)
    _run(installed, "secrets", "generate", "--stand-ins", "shop/staging", cwd=tmp_path)
    _run(installed, "secrets", "generate", "--stand-ins", "shop/production", cwd=tmp_path)
    _run(installed, "check", "shop", cwd=tmp_path)
    rendered = json.loads(_run(installed, "render", "shop/staging", "--json", cwd=tmp_path))
    assert any("nginx" in file["path"] for files in rendered["hosts"].values() for file in files)


def test_an_operators_file_comes_before_the_bundled_one_and_a_new_component_is_found(installed, tmp_path):
    _run(installed, "init", "shop", cwd=tmp_path)
    for env in ("staging", "production"):
        _run(installed, "secrets", "generate", "--stand-ins", f"shop/{env}", cwd=tmp_path)
    own = tmp_path / "deploys" / "components" / "motd"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text('"""A component of the operator\'s own."""\n')
    (own / "model.py").write_text(
        "from mainstay.inventory import StrictModel\n\nROLES = frozenset({'*'})\n\n\n"
        "class Section(StrictModel):\n    text: str\n"
    )
    (own / "files.py").write_text(
        "from mainstay.files import ManagedFile\n\n\ndef files(env, host):\n"
        "    return [ManagedFile('/etc/motd', env.section('motd').text + '\\n')]\n"
    )
    (tmp_path / "deploys" / "order.py").write_text('ORDER = ["base", "motd"]\n')
    system = tmp_path / "inventories" / "shop" / "system.yaml"
    system.write_text(system.read_text() + "\nmotd: {text: ours}\n")
    rendered = json.loads(_run(installed, "render", "shop/staging", "--json", cwd=tmp_path))
    for files in rendered["hosts"].values():
        assert [file["content"] for file in files if file["path"] == "/etc/motd"] == ["ours\n"]
        # Bundled still: the component that the operator did not write, in the order that they did.
        assert any("sshd" in file["path"] for file in files)
