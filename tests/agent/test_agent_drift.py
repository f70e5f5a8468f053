# SPDX-License-Identifier: Apache-2.0
"""What a node has that its release does not, told from a host's files and from what systemd says."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from zaffre.agent.commands import Done
from zaffre.agent.drift import FOLLOW, KEPT, UPPER, drift
from zaffre.errors import ToolError

_UNITS = """Id=ssh.service
FragmentPath=/usr/lib/systemd/system/ssh.service
DropInPaths=/usr/lib/systemd/system/ssh.service.d/10.conf
Transient=no

Id=getty.target
FragmentPath=/etc/systemd/system/getty.target
DropInPaths=/etc/systemd/system/getty.target.d/10.conf
Transient=no

Id=var.mount
FragmentPath=/run/systemd/generator/var.mount
DropInPaths=
Transient=no

Id=init.scope
FragmentPath=
DropInPaths=
Transient=yes
"""
_NONE = '[{"hierarchy":"/opt","extensions":"none"},{"hierarchy":"/usr","extensions":["agent"],"since":1}]\n'
_MOUNTS = """22 1 254:0 / / ro,relatime - erofs /dev/mapper/root ro
23 22 0:30 / /etc rw - overlay overlay rw
24 22 254:3 / /var rw - ext4 /dev/vda4 rw
25 23 254:3 /lib/zaffre/etc/machine-id /etc/machine-id rw - ext4 /dev/vda4 rw
"""


@dataclass
class Node:
    """A host's files, and what its systemd says."""

    root: Path
    said: dict[str, str] = field(default_factory=lambda: {"systemctl": _UNITS, "systemd-sysext": _NONE})
    failing: str = ""

    def ask(self, *words: str, seconds: float) -> Done:
        assert seconds > 0
        return Done(" ".join(words), int(words[0] == self.failing), self.said.get(words[0], "[]\n"), "")

    def write(self, path: str | Path, text: str = "") -> Path:
        target = self.root / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def differs(self) -> list[tuple[str, str]]:
        return [(one.kind, one.name) for one in drift(self.root, self.ask).unexpected]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.write("proc/self/mountinfo", _MOUNTS)
    made.write(FOLLOW, "[Service]\nExecStart=sh /usr/lib/zaffre/follow agent\n")
    made.write(KEPT / "machine-id", "0" * 32)
    made.write(UPPER / "machine-id")  # systemd touches what it mounts over
    return made


def test_a_host_as_released_has_none(node: Node) -> None:
    found = drift(node.root, node.ask)
    assert found.unexpected == ()
    assert {(one.kind, one.name) for one in found.found} == {("file", "/etc/machine-id"), ("extension", "agent")}
    assert found.lines()[-1] == "nothing differs from the release"
    assert json.loads(json.dumps(found.plain()))["drifted"] is False


def test_what_was_written_to_etc_is_told(node: Node) -> None:
    node.write(UPPER / "ssh/sshd_config.d/open.conf", "PermitRootLogin yes\n")
    (node.root / UPPER.relative_to("/") / "link").symlink_to("/nowhere")
    assert node.differs() == [("file", "/etc/link"), ("file", "/etc/ssh/sshd_config.d/open.conf")]


@pytest.mark.tools
def test_a_link_of_the_release_that_was_labelled_anew_is_as_released(node: Node) -> None:
    """By the kernel's own overlay: with another owner, a link comes to the upper layer; a new one has no origin."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    upper = node.root / UPPER.relative_to("/")
    work = upper.parent / "work"
    for folder in (node.root / "lower", node.root / "etc", work):
        folder.mkdir()
    for name in ("labelled", "moved", "replaced", "twice"):
        (node.root / "lower" / name).symlink_to("there")
    (node.root / "lower/file").write_text("as released")
    script = (
        'mount -t overlay overlay etc -o lowerdir=lower,upperdir="$1",workdir="$2"; chown -h 1:1 etc/labelled; '
        "ln -sfn elsewhere etc/replaced; chown 1:1 etc/file; mv etc/moved etc/there; ln -P etc/twice etc/again"
    )
    words = ["unshare", "--mount", "sh", "-euc", script, "sh", upper, work]
    done = subprocess.run(words, cwd=node.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in upper.iterdir()} >= {"labelled", "replaced", "file"}
    told = {name for _, name in node.differs()}
    assert told >= {"/etc/file", "/etc/replaced", "/etc/moved", "/etc/again"}
    assert "/etc/labelled" not in told


def test_what_was_removed_from_etc_is_told(node: Node) -> None:
    whiteout = node.root / UPPER.relative_to("/") / "sudoers"
    os.mknod(whiteout, stat.S_IFCHR | 0o600, 0)
    (found,) = drift(node.root, node.ask).unexpected
    assert (found.name, found.words) == ("/etc/sudoers", "was removed since the start")


def test_extensions_of_the_channel_are_as_released_and_others_are_told(node: Node) -> None:
    node.said["systemd-sysext"] = '[{"hierarchy":"/usr","extensions":["agent","site","tools"]}]\n'
    node.said["systemd-confext"] = '[{"hierarchy":"/etc","extensions":["site"]}]\n'
    assert node.differs() == [("extension", "site"), ("extension", "site"), ("extension", "tools")]
    found = drift(node.root, node.ask, released={("confext", "site")})
    assert [(one.name, one.words) for one in found.unexpected] == [
        ("site", "is laid over /usr"),
        ("tools", "is laid over /usr"),
    ]
    expected = [(one.kind, one.name, one.words) for one in found.found if one.expected]
    assert ("extension", "site", "is laid over /etc, from the channel") in expected
    assert [name for kind, name, words in expected if "cannot be looked into" in words] == ["/etc"]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("Id=evil.service\nFragmentPath=/run/systemd/system/evil.service\nDropInPaths=\nTransient=no\n", "comes from"),
        ("Id=ssh.service\nFragmentPath=/usr/lib/systemd/system/a.service\nDropInPaths=/run/systemd/x.conf\n", "/run/"),
        ("Id=run-1.service\nFragmentPath=/run/systemd/transient/run-1.service\nTransient=yes\n", "was made"),
    ],
)
def test_units_from_elsewhere_are_told(node: Node, block: str, words: str) -> None:
    node.said["systemctl"] = f"{_UNITS}\n{block}"
    (found,) = drift(node.root, node.ask).unexpected
    assert found.kind == "unit"
    assert words in found.words


@pytest.mark.parametrize("layer", [UPPER, KEPT])
def test_a_unit_of_etc_is_told_if_it_was_written_there(node: Node, layer: Path) -> None:
    node.write(layer / "systemd/system/getty.target", "[Unit]\n")
    assert ("unit", "getty.target") in node.differs()
    (node.root / layer.relative_to("/") / "systemd/system/getty.target").unlink()
    node.write(layer / "systemd/system/getty.target.d/10.conf", "[Unit]\n")
    told = [one for one in drift(node.root, node.ask).unexpected if one.kind == "unit"]
    assert [one.words for one in told] == ["comes from /etc/systemd/system/getty.target.d/10.conf"]


def test_what_a_kept_folder_hides_is_not_told(node: Node) -> None:
    node.write("proc/self/mountinfo", f"{_MOUNTS}26 23 254:3 /lib/zaffre/etc/mine /etc/mine rw - ext4 /dev/vda4 rw\n")
    node.write(UPPER / "mine/hidden")
    node.write(UPPER / "mine2/seen")
    assert node.differs() == [("file", "/etc/mine2/seen")]


def test_extensions_that_the_host_does_not_lay_over_itself_are_told(node: Node) -> None:
    node.said["systemd-sysext"] = '[{"hierarchy":"/usr","extensions":["agent","debug"],"since":1}]'
    node.said["systemd-confext"] = '[{"hierarchy":"/etc","extensions":["agent"],"since":1}]'
    assert node.differs() == [("extension", "agent"), ("extension", "debug")]


def test_what_is_mounted_over_the_release_is_told(node: Node) -> None:
    node.write("proc/self/mountinfo", f"{_MOUNTS}30 22 0:40 /my\\040files /usr/bin rw - tmpfs tmpfs rw\n")
    assert node.differs() == [("mount", "/usr/bin")]


@pytest.mark.parametrize("said", ["{", "[3]", '[{"hierarchy":"/usr"}]'])
def test_an_answer_that_cannot_be_read_is_an_error(node: Node, said: str) -> None:
    node.said["systemd-confext"] = said
    with pytest.raises(ToolError, match="cannot be read"):
        drift(node.root, node.ask)


@pytest.mark.parametrize("tool", ["systemctl", "systemd-sysext", "systemd-confext"])
def test_a_program_that_fails_is_no_answer(node: Node, tool: str) -> None:
    node.failing = tool
    with pytest.raises(ToolError, match="does not say"):
        drift(node.root, node.ask)
