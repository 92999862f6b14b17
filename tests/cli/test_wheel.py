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
    done = subprocess.run([str(word) for word in argv], cwd=cwd, capture_output=True, text=True, check=False)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out, cwd=ROOT)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """`mainstay` from the wheel, in an environment of its own; its dependencies are those of the test's interpreter."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, system_site_packages=False)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    dependencies = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    # Only the folder: the editable install of this tree is one of its .pth files, and those are not followed here.
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


@pytest.fixture
def shop(installed, tmp_path, monkeypatch) -> Path:
    """A new project, made by the installed command, with its secrets."""
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(tmp_path / "identity.txt"))
    _run(installed, "init", "shop", cwd=tmp_path)
    for env in ("staging", "production"):
        _run(installed, "secrets", "generate", "--stand-ins", f"shop/{env}", cwd=tmp_path / "shop")
    return tmp_path / "shop"


def _rendered(installed: Path, project: Path) -> dict[str, dict[str, str]]:
    """Path and content of the files of each staging host."""
    hosts = json.loads(_run(installed, "render", "shop/staging", "--json", cwd=project))["hosts"]
    return {name: {file["path"]: file["content"] for file in files} for name, files in hosts.items()}


def test_a_new_project_checks_and_renders_from_the_wheel(installed, shop):
    where = _run(installed.parent / "python", "-c", "import mainstay; print(mainstay.__file__)", cwd=shop)
    assert str(installed.parent.parent) in where
    _run(installed, "check", "shop", cwd=shop)
    assert any("/nginx/" in path for files in _rendered(installed, shop).values() for path in files)


def test_an_operators_file_comes_before_the_bundled_one_and_a_new_component_is_found(installed, shop):
    own = shop / "deploys" / "components" / "motd"
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
    (shop / "deploys" / "order.py").write_text('ORDER = ["base", "motd"]\n')
    system = shop / "inventories" / "shop" / "system.yaml"
    system.write_text(system.read_text() + "\nmotd: {text: ours}\n")
    for files in _rendered(installed, shop).values():
        assert files["/etc/motd"] == "ours\n"
        # Bundled still: the component that the operator did not write; gone: those that their order leaves out.
        assert any("sshd" in path for path in files)
        assert not any("/nginx/" in path for path in files)


def test_an_operators_component_replaces_the_bundled_one_file_by_file(installed, shop):
    own = shop / "deploys" / "components" / "nginx"
    own.mkdir(parents=True)
    (own / "files.py").write_text(
        "from deploys.components.nginx.model import section\nfrom mainstay.files import ManagedFile\n\n\n"
        "def files(env, host):\n"
        "    return [ManagedFile('/etc/nginx/nginx.conf', f'# {len(section(env).sites)} site\\n')]\n"
    )
    rendered = _rendered(installed, shop)
    ours = {path: text for path, text in rendered["shop-stg-1"].items() if path.startswith("/etc/nginx/")}
    assert ours == {"/etc/nginx/nginx.conf": "# 2 site\n"}, "its files are the operator's, its model the bundled one"
    assert any("postgresql" in path for path in rendered["shop-stg-1"]), "other components are as they were"
    _run(installed, "check", "shop", cwd=shop)
