"""What the lab does on the machine that it runs on, and the sentence when it cannot run there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mainstay.errors import LabError
from mainstay.lab import cgroups, limits, outside, requirements
from mainstay.lab.machine import processes_of


class TestRequirements:
    """The sentence that says what is missing, one case a cause."""

    @staticmethod
    def missing(
        system: str = "Linux",
        user: int = 0,
        absent: Sequence[str] = (),
        filesystems: str = "nodev\toverlay\n",
        failing: Callable[[Sequence[str]], bool] = lambda argv: False,
    ) -> str | None:
        def which(program: str) -> str | None:
            return None if program in absent else f"/usr/bin/{program}"

        return requirements.missing(system, user, which, lambda: filesystems, lambda argv: not failing(argv))

    def test_nothing(self) -> None:
        assert self.missing() is None

    def test_the_operating_system(self) -> None:
        assert "this is Darwin" in str(self.missing(system="Darwin"))

    def test_root(self) -> None:
        assert "started as root" in str(self.missing(user=1000))

    def test_programs_by_their_packages(self) -> None:
        found = str(self.missing(absent=["systemd-nspawn", "nft", "ssh", "ssh-keygen"]))
        assert found == "programs are missing (apt-get install nftables openssh-client systemd-container)"

    def test_overlayfs_may_come_as_a_module(self) -> None:
        assert self.missing(filesystems="ext4\n") is None
        assert "CONFIG_OVERLAY_FS" in str(self.missing(filesystems="ext4\n", failing=lambda argv: "modprobe" in argv))

    @pytest.mark.parametrize(
        ("word", "option"), [("bridge", "CONFIG_BRIDGE"), ("veth", "CONFIG_VETH"), ("nft", "CONFIG_NF_TABLES")]
    )
    def test_kernel_features(self, word: str, option: str) -> None:
        assert option in str(self.missing(failing=lambda argv: word in argv))

    def test_the_whole_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        with pytest.raises(LabError) as caught:
            requirements.require()
        assert str(caught.value) == (
            "The lab cannot run here: it boots hosts and lays networks, and for that it must be started as root. "
            "Without the lab these work: mainstay check, render, schema, secrets."
        )


class TestOutside:
    def test_an_error_is_one_line_without_scripts(self) -> None:
        with pytest.raises(LabError, match=r"^sh -c ended with 3: E: second$"):
            outside.run(["sh", "-c", "echo first\necho E: second >&2\nexit 3"])

    def test_files_are_replaced_whole(self, tmp_path: Path) -> None:
        outside.write_atomically(tmp_path / "a", "x", mode=0o600)
        assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("a", 0o600)]

    def test_no_process_belongs_to_a_host_that_is_not_there(self) -> None:
        assert processes_of("mslab15-4094") == []

    def test_control_groups_are_left_to_a_systemd_outside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "is_dir", lambda self: True)
        assert cgroups.enter_files("mslab15-4094") == []


def test_the_schema_of_status_names_what_is_printed() -> None:
    from dataclasses import fields

    from mainstay.lab.status import HostStatus

    path = Path(__file__).parents[2] / "docs/json/lab.schema.json"
    schema = json.loads(path.read_text())["properties"]["hosts"]["items"]
    assert schema["required"] == list(schema["properties"]) == [field.name for field in fields(HostStatus)]


def test_a_limit_that_is_too_low_is_raised_once_and_put_back(tmp_path: Path) -> None:
    limit, memory = tmp_path / "limit", tmp_path / "memory"
    limit.write_text("128\n")
    limits.lift(limit, memory)
    limits.lift(limit, memory)
    assert int(limit.read_text()) == limits.ENOUGH
    limits.put_back(limit, memory)
    assert limit.read_text() == "128\n"
    limit.write_text("9000\n")  # an administrator's own
    limits.lift(limit, memory)
    limits.put_back(limit, memory)
    assert limit.read_text() == "9000\n"
