"""What nvidia-smi prints, read; models on a tree that plays a host: whole, proven, the old one back by one rename."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.operations.gpus import missing, too_full
from facts.ml import NO_PROGRAM, Gpu, GpuInfo, Gpus, ModelFile, ModelState, parse_gpus, parse_model
from tests.unit.hosttree import KIT, RUN, Tree, new

# As nvidia-smi of driver 535 prints a Tesla T4, one that is shared (MIG), and what it says where there is nothing.
ONE_UUID, OTHER_UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-f3da2e71-6e43-729a-e3ae-f731ed96d50c"
T4 = f"0, Tesla T4, 15360, 3, 14926, 0, 535.183.01, {ONE_UUID}"
MIG = f"1, NVIDIA A100-SXM4-40GB, 40960, 19, 40936, [N/A], 535.183.01, {OTHER_UUID}"
# And what is asked of its whole report: the driver met the second one first.
DEVICES = [f"<uuid>{ONE_UUID}", "<minor_number>1", f"<uuid>{OTHER_UUID}", "<minor_number>0"]
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest"


@pytest.mark.covers("ML-01")
def test_reads_each_gpu() -> None:
    found = parse_gpus([MIG, T4, *DEVICES])
    assert found == Gpus(
        [
            Gpu(0, "Tesla T4", 15360, 3, 14926, 0, "535.183.01", ONE_UUID, 1),
            Gpu(1, "NVIDIA A100-SXM4-40GB", 40960, 19, 40936, None, "535.183.01", OTHER_UUID, 0),
        ]
    )
    assert [gpu.device for gpu in found.found] == ["/dev/nvidia1", "/dev/nvidia0"]


@pytest.mark.covers("ML-01")
@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([NO_PROGRAM], NO_PROGRAM),
        ([NO_DRIVER, "NVIDIA driver is installed and running.", ""], NO_DRIVER),
        (["No devices were found"], "No devices were found"),
        ([], "nvidia-smi names no GPU"),
    ],
)
def test_without_a_gpu_there_is_a_reason(lines: list[str], reason: str) -> None:
    assert parse_gpus(lines) == Gpus([], reason)


@pytest.mark.parametrize("told", [[], DEVICES[2:], [DEVICES[0]], [DEVICES[0], "<minor_number>N/A"]])
def test_a_device_file_that_is_not_told_is_nobody_else_s(told: list[str]) -> None:
    (gpu,) = parse_gpus([T4, *told]).found
    assert (gpu.minor, gpu.device) == (None, "")


# A stand-in for the program, which tells both questions apart.
SMI = f"""#!/bin/sh
case "$*" in
    --query-gpu=*) echo "{T4}" ;;
    "-q -x") cat <<END ;;
<gpu id="00000000:00:1E.0">
\t\t<serial>1654523003308</serial>
\t\t<uuid>{ONE_UUID}</uuid>
\t\t<minor_number>1</minor_number>
END
esac
"""


def test_the_program_is_asked_for_names_and_for_device_files(tmp_path: Path) -> None:
    """Of the whole report, which has much else, a line each."""
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    found = answer(f"{tmp_path}:/usr/bin:/bin")
    assert found == [T4, *DEVICES[:2]]


def answer(path: str) -> list[str]:
    """What a host with this PATH is understood to say."""
    done = subprocess.run(
        ["/bin/sh", "-c", GpuInfo().command()], capture_output=True, text=True, check=True, env={"PATH": path}
    )
    return done.stdout.splitlines()


def test_a_machine_without_the_program_is_a_host_without_gpus(tmp_path: Path) -> None:
    for name in ("echo", "timeout"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    assert GpuInfo().process(answer(str(tmp_path))) == Gpus([], NO_PROGRAM)


@given(st.lists(st.text()))
def test_whatever_is_printed_is_read(lines: list[str]) -> None:
    found = parse_gpus(lines)
    assert bool(found.found) != bool(found.reason)
    assert all(gpu.free_mib is None or gpu.free_mib >= 0 for gpu in found.found)


@given(st.integers(0, 7), st.integers(0, 99999), st.integers(0, 99999), st.text("abc XY-4", min_size=1))
def test_reads_what_it_would_print(index: int, total: int, free: int, name: str) -> None:
    (gpu,) = parse_gpus([f"{index}, {name}, {total}, {total}, {free}, 7, 535.1, {ONE_UUID}"]).found
    assert (gpu.index, gpu.name, gpu.total_mib, gpu.free_mib) == (index, name.strip(), total, free)


def test_refusals_are_one_sentence() -> None:
    assert missing(Gpus([], NO_PROGRAM), 1) == (
        "GPUs: found none (nvidia-smi is not installed), expected 1 as the host declares (gpus)"
    )
    one = parse_gpus([T4, *DEVICES])
    assert missing(one, 2) == "GPUs: found 1, expected 2 as the host declares (gpus)"
    assert missing(one, 1) == ""
    nameless = "GPU 0 (Tesla T4): found {}, expected its UUID and its minor number, which nvidia-smi -q tells"
    assert missing(parse_gpus([T4]), 1) == nameless.format("no minor number")
    assert missing(parse_gpus([T4.replace(ONE_UUID, "[Unknown Error]"), *DEVICES]), 1) == nameless.format("no UUID")
    assert too_full(one, 1, 16000, "ml") == (
        "GPU 0 (Tesla T4): found 14926 of 15360 MiB free, expected 16000 before an instance of ml starts there "
        "(ml.gpu.min_free_mib); nothing was changed"
    )
    assert too_full(one, 1, 14926, "ml") == ""
    unknown = parse_gpus([T4.replace("14926", "[N/A]")])
    assert too_full(unknown, 1, 100, "ml") == (
        "GPU 0 (Tesla T4): nvidia-smi does not tell its free memory, expected 100 MiB"
    )


# Models


ONE, TWO, THREE = b"the first model\n", b"the second, longer model\n", b"a third\n"
NAME = "net.pth.tar"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return new(tmp_path)


def folder(tree: Tree) -> str:
    return str(tree.path / "etc" / "models")


def install(tree: Tree, data: bytes, digest: str = "", how: str = "", run: str = RUN) -> str:
    words = [run, folder(tree), NAME, digest or sha256(data), *([how] if how else [])]
    done = tree.call("install-model", *words, stdin=b"" if how == "kept" else data)
    return "" if done.returncode == 0 else done.stderr.strip()


def state(tree: Tree) -> ModelState:
    command = ModelFile().command(f"{folder(tree)}/{NAME}")
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return ModelFile().process(said.stdout.splitlines())


def content(tree: Tree) -> bytes:
    return (Path(folder(tree)) / NAME).read_bytes()


def test_a_model_stands_whole_and_is_known_without_reading_it(tree: Tree) -> None:
    assert install(tree, ONE) == ""
    assert content(tree) == ONE
    found = state(tree)
    assert (found.sha256, found.untouched, found.mode, found.kept) == (sha256(ONE), True, 0o644, (sha256(ONE),))


def test_another_model_turns_the_link_and_the_one_before_stays(tree: Tree) -> None:
    install(tree, ONE)
    with (Path(folder(tree)) / NAME).open("rb") as held:
        assert install(tree, TWO, run="two") == ""
        assert held.read() == ONE
    assert content(tree) == TWO
    assert set(state(tree).kept) == {sha256(ONE), sha256(TWO)}
    assert install(tree, THREE, run="three") == ""
    assert set(state(tree).kept) == {sha256(TWO), sha256(THREE)}
    assert install(tree, TWO, how="kept", run="four") == ""
    assert content(tree) == TWO


def test_a_mismatch_is_refused_and_the_old_one_stays(tree: Tree) -> None:
    install(tree, ONE)
    said = install(tree, TWO[:-1], sha256(TWO), run="two")
    assert f"model {NAME}: found SHA-256 {sha256(TWO[:-1])}, expected {sha256(TWO)}" in said
    assert content(tree) == ONE
    assert sorted(path.name for path in Path(folder(tree)).iterdir()) == [sha256(ONE)[:16], NAME]


def test_what_was_changed_by_hand_is_seen_and_comes_again(tree: Tree) -> None:
    install(tree, ONE)
    (Path(folder(tree)) / NAME).write_bytes(b"planted\n")
    assert not state(tree).untouched
    assert install(tree, ONE, run="two") == ""
    assert content(tree) == ONE and state(tree).untouched


def test_put_back_is_the_model_before(tree: Tree) -> None:
    install(tree, ONE, run="one")
    install(tree, TWO, run="two")
    assert tree.back("two").returncode == 0
    assert content(tree) == ONE and state(tree).untouched
    assert tree.back("one").returncode == 0
    assert not Path(folder(tree)).exists()


def test_the_host_fetches_what_a_url_gives(tree: Tree) -> None:
    (tree.path / "object").write_bytes(ONE)
    url = f'url = "file://{tree.path}/object"\n'.encode()
    assert install(tree, url, sha256(ONE), "fetch") == ""
    assert content(tree) == ONE
    gone = f'url = "file://{tree.path}/none"\n'.encode()
    said = install(tree, gone, sha256(TWO), "fetch", run="two")
    assert f"model {NAME}: the store does not give it: curl:" in said
    assert content(tree) == ONE


@pytest.mark.covers("ML-02")
def test_a_service_does_not_start_on_another_model(tree: Tree) -> None:
    install(tree, ONE)
    path = f"{folder(tree)}/{NAME}"
    assert tree.call("model-check", path, sha256(ONE)).returncode == 0
    done = tree.call("model-check", path, sha256(TWO))
    assert done.returncode == 1
    assert f"model {path}: found SHA-256 {sha256(ONE)[:12]}, expected {sha256(TWO)[:12]}" in done.stderr
    Path(path).unlink()
    done = tree.call("model-check", path, sha256(ONE))
    assert (done.returncode, "found no such file" in done.stderr) == (1, True)
    assert KIT.joinpath("model-check").stat().st_mode & 0o005 == 0o005


@given(st.lists(st.text()))
def test_whatever_a_folder_holds_is_read(lines: list[str]) -> None:
    found = parse_model(lines)
    assert not found.sha256 or found.sha256 in found.kept
