# SPDX-License-Identifier: Apache-2.0
"""What puts a server's SELinux policy in its place, run by the shell and the coreutils of the image's own upstream."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

from zaffre.errors import WorldError
from zaffre.sandbox import Mount, Sandbox

pytestmark = pytest.mark.tools

TABLE = "contexts/files/file_contexts"
LABELS = f"loaded {{}}: -F -m -C /job/etc/default/{TABLE} {{}}"
_PLACES = {
    "/usr/lib/zaffre/selinux": "/job/package",
    "/etc/selinux": "/job/etc",
    "/run/systemd/system": "/job/running",
    "/sys/fs/selinux/load": "/job/kernel",
}
# The kernel and the folder are as they are when it starts.
_PROGRAM = '#!/bin/sh\necho "loaded $(cat /job/kernel 2>/dev/null): $*" >>/job/log\n'
_COULD_NOT = "setfiles: Could not set context for /srv/x:  "


@dataclass(frozen=True)
class Server:
    root: Path
    sandbox: Sandbox

    def install(self, policy: str, table: str, *words: str, check: bool = True) -> list[str]:
        """Install a package with them; what it has started."""
        self.write("package/config", "SELINUX=enforcing\n")
        self.write("package/default/policy/policy.33", policy)
        self.write(f"package/default/{TABLE}", table)
        text = resources.files("zaffre.image").joinpath("scripts", "install-policy.sh").read_text()
        for path, place in _PLACES.items():
            assert path in text
            text = text.replace(path, place)
        self.write("script", text)
        self.write("log", "")
        mounts = [Mount(self.root, "/job", writable=True)]
        environment = {"PATH": "/job/bin:/usr/sbin:/usr/bin"}
        self.sandbox.run(["sh", "/job/script", *words], mounts=mounts, env=environment, timeout=60, check=check)
        return (self.root / "log").read_text().splitlines()

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def program(self, name: str, text: str) -> None:
        self.write(f"bin/{name}", text)
        (self.root / "bin" / name).chmod(0o755)

    def is_up(self, *, selinux: bool) -> None:
        (self.root / "running").mkdir()
        if selinux:
            self.write("kernel", "")

    def found(self) -> dict[str, str]:
        folder = self.root / "etc"
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def server(tmp_path: Path, tools_sandbox: Sandbox) -> Server:
    made = Server(tmp_path / "server", tools_sandbox)
    made.program("setfiles", _PROGRAM)
    made.program("findmnt", "#!/bin/sh\nprintf '/\\n/srv/a b\\n'\n")
    return made


def laid(policy: str, table: str) -> dict[str, str]:
    return {"config": "SELINUX=enforcing\n", "default/policy/policy.33": policy, f"default/{TABLE}": table}


def test_an_image_that_is_made_gets_the_files_alone(server: Server) -> None:
    assert server.install("policy 1", "labels 1") == []
    assert server.found() == laid("policy 1", "labels 1")


def test_a_new_policy_is_loaded_and_other_labels_are_given(server: Server) -> None:
    server.install("policy 1", "labels 1")
    server.is_up(selinux=True)
    started = server.install("policy 2", "labels 2")
    assert server.found() == laid("policy 2", "labels 2")
    assert started == [LABELS.format("policy 2", one) for one in ("/job/etc", "/", "/srv/a b")], "by the new policy"


def test_the_same_labels_are_not_given_again_but_to_the_policy_itself(server: Server) -> None:
    server.install("policy 1", "labels 1")
    server.is_up(selinux=True)
    assert server.install("policy 2", "labels 1") == [LABELS.format("policy 2", "/job/etc")]


def test_a_server_that_had_none_is_labelled_for_its_next_kernel(server: Server) -> None:
    server.is_up(selinux=False)
    assert server.install("policy 1", "labels 1") == [LABELS.format("", one) for one in ("/job/etc", "/", "/srv/a b")]
    # By then more was written without labels: the first start with SELinux gives them, and starts anew.
    server.write("kernel", "policy 1")
    server.program("systemctl", '#!/bin/sh\necho "systemctl $*" >>/job/log\n')
    again = server.install("policy 1", "labels 1", "again")
    assert again == [*(LABELS.format("policy 1", one) for one in ("/", "/srv/a b")), "systemctl --no-block reboot"]
    assert server.install("policy 1", "labels 1") == [LABELS.format("policy 1", "/job/etc")], "and not again"


def test_an_older_mv_does_it_too(server: Server) -> None:
    server.program("mv", '#!/bin/sh\ncase $1 in --exchange) exit 1 ;; esac\nexec /usr/bin/mv "$@"\n')
    for version in ("1", "2"):
        server.install(f"policy {version}", "labels")
        assert server.found() == laid(f"policy {version}", "labels")


def test_what_an_interrupted_one_left_is_in_nobodys_way(server: Server) -> None:
    server.install("policy 1", "labels 1")
    server.write("etc/default.new/half", "written")
    server.write("etc/config.new", "half")
    server.install("policy 2", "labels 2")
    assert server.found() == laid("policy 2", "labels 2")


def test_labels_that_were_not_all_given_are_given_in_the_next_run(server: Server) -> None:
    server.install("policy 1", "labels 1")
    server.is_up(selinux=True)
    server.program("setfiles", "#!/bin/sh\n[ $5 != / ] || exit 255\n")
    server.install("policy 2", "labels 2", check=False)
    assert server.found()[f"default/{TABLE}"] == "labels 2"
    server.program("setfiles", _PROGRAM)
    assert server.install("policy 2", "labels 2")[-2:] == [LABELS.format("policy 2", one) for one in ("/", "/srv/a b")]
    assert server.install("policy 2", "labels 2") == [LABELS.format("policy 2", "/job/etc")], "and not again"


def test_a_file_that_is_gone_meanwhile_is_no_error(server: Server) -> None:
    server.install("policy 1", "labels 1")
    server.is_up(selinux=True)
    server.program("setfiles", f"{_PROGRAM}echo '{_COULD_NOT}No such file or directory' >&2\nexit 1\n")
    assert len(server.install("policy 2", "labels 2")) == 3
    assert not (server.root / "etc/.relabel").exists()


def test_a_file_that_cannot_be_labelled_is_one_and_the_others_are(server: Server) -> None:
    server.install("policy 1", "labels 1")
    server.is_up(selinux=True)
    server.program("systemctl", '#!/bin/sh\necho "systemctl $*" >>/job/log\n')
    fails = f"[ $5 != / ] || {{ echo '{_COULD_NOT}No space left on device' >&2; exit 1; }}\n"
    server.program("setfiles", f"{_PROGRAM}{fails}")
    with pytest.raises(WorldError):
        server.install("policy 2", "labels 2")
    assert "/srv/a b" in (server.root / "log").read_text()
    assert (server.root / "etc/.relabel").exists()
    again = server.install("policy 2", "labels 2", "again", check=False)
    assert again == [LABELS.format("policy 2", one) for one in ("/", "/srv/a b")], "and the system is not started anew"
    assert (server.root / "etc/.relabel").exists()


def test_a_policy_that_the_kernel_refuses_is_an_error(server: Server) -> None:
    server.install("policy 1", "labels 1")
    server.is_up(selinux=False)
    (server.root / "kernel").mkdir()
    assert server.install("policy 2", "labels 2", check=False) == [], "nothing is labelled by it"
    assert (server.found()["default/policy/policy.33"], server.found()[f"default/{TABLE}"]) == ("policy 1", "labels 1")
