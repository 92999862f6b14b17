import json
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from facts.distributions import Distributions, Installed, parse_installed
from facts.files import FileState, FileStates, FileText, parse_states
from facts.packages import MissingPackages, parse_missing
from facts.units import UnitState, parse_units


def _sh(command: str) -> list[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()


def test_file_states_of_real_files(tmp_path):
    one, gone = tmp_path / "with space", tmp_path / "gone"
    one.write_text("abc")
    one.chmod(0o640)
    states = FileStates().process(_sh(FileStates().command([str(one), str(gone), str(tmp_path)])))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert states == {str(one): FileState("root", "root", 0o640, digest)}


def test_file_text_tells_an_empty_file_from_none(tmp_path):
    (tmp_path / "empty").write_text("")
    (tmp_path / "full").write_text("a\nb\n")
    texts = [FileText().process(_sh(FileText().command(str(tmp_path / name)))) for name in ("none", "empty", "full")]
    assert texts == [None, "", "a\nb\n"]


def test_missing_packages_asks_dpkg():
    command = MissingPackages().command(["bash", "no-such-package-here"])
    assert MissingPackages().process(_sh(command)) == ["no-such-package-here"]


def test_packages_that_dpkg_knows_and_has_not_installed_are_missing_in_the_order_asked():
    lines = ["wanted\tb", "wanted\ta", "wanted\tc", "wanted\tlib", "config-files\tb", "installed\tc"]
    lines += ["not-installed\tlib", "installed\tlib", "half a line"]
    assert parse_missing(lines) == ["b", "a"]


def test_units_are_read_by_block_and_unknown_ones_left_out():
    text = """Id=a.service
LoadState=loaded
UnitFileState=enabled
ActiveState=active
SubState=running
Result=success
NRestarts=2
MainPID=17

Id=b.service
LoadState=not-found
ActiveState=inactive
"""
    assert parse_units(text.splitlines()) == {"a.service": UnitState("enabled", "active", "running", "success", 2, 17)}


def test_distributions_of_this_very_environment_have_all_that_they_need():
    installed = Distributions().process(_sh(Distributions().command(sys.executable)))
    assert installed.versions["pyinfra"].startswith("3.10")
    assert installed.markers["python_version"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert installed.unmet == []
    assert Distributions().process(_sh(Distributions().command("/no/such/python"))) == Installed()


def test_what_a_distribution_needs_and_does_not_have_is_named():
    requires = ["b_one>=2", "c<3", "c>=1", "d", "e; extra == 'x'", "f; python_version < '3'", "not a requirement"]
    rows = [["A", "1", requires], ["B.One", "2.0rc1", []], ["c", "3.0", []]]
    line = json.dumps([rows, {"extra": "", "python_version": "3.11"}])
    assert parse_installed(["a warning", line]).unmet == [
        "a requires b_one>=2, found 2.0rc1",
        "a requires c<3, found 3.0",
        "a requires d, which is not installed",
        "a requires 'not a requirement', which cannot be read",
    ]


@given(st.lists(st.text()))
def test_parsers_never_fail_on_what_a_host_prints(lines):
    parse_states(lines)
    parse_units(lines)
    parse_installed(lines)
