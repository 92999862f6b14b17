import io
import tarfile

from mainstay.files import FileSet, ManagedFile


def _members(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read().decode() for member in tar}


def _resolve(text: str) -> str:
    return text.replace("<secret PW@1>", "hunter2")


def test_the_archive_carries_files_by_number_and_secrets_resolved():
    wanted = FileSet(
        [ManagedFile("/etc/a b.conf", "pw=<secret PW@1>\n", "root", "www-data", 0o640)],
        remove=["/etc/old.conf"],
        check="nginx -t",
        activate="systemctl reload nginx",
        units=["nginx.service"],
        deadman=45,
    )
    members = _members(wanted.archive(_resolve))
    seconds, token = members.pop("deadman").split()
    assert (seconds, len(token)) == ("45", 16)
    assert members == {
        "manifest": "640\troot\twww-data\t/etc/a b.conf\n",
        "remove": "/etc/old.conf\n",
        "check": "nginx -t",
        "activate": "systemctl reload nginx",
        "units": "nginx.service\n",
        "files/1": "pw=hunter2\n",
        "end": "",
    }


def test_every_member_of_the_archive_is_private():
    archive = FileSet([ManagedFile("/etc/x", "x")]).archive(_resolve)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {member.mode for member in tar} == {0o600}


def test_the_digest_is_of_the_resolved_content():
    plain = ManagedFile("/etc/x", "hunter2").digest(_resolve)
    assert ManagedFile("/etc/x", "<secret PW@1>").digest(_resolve) == plain
