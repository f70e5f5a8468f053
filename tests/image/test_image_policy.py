# SPDX-License-Identifier: Apache-2.0
"""The SELinux policy of a host: compiled by the real compilers, and the labels that are in its root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.definition import Architecture, Kind, Selinux, SelinuxMode, load_distribution, reference_root
from zaffre.image.policy import POLICY_VERSION
from zaffre.image.seal import Compression, make_erofs
from zaffre.sandbox import Mount, Sandbox

_MAGIC = b"\x8c\xff\x7c\xf9\x08\x00\x00\x00SE Linux"
"""libsepol's policydb.h: POLICYDB_MAGIC and POLICYDB_STRING, with the string's length between them."""


def test_the_mode_is_on_the_signed_command_line() -> None:
    image = load_distribution(reference_root()).image("container-host")
    plain = image.model_copy(update={"selinux": Selinux()}).kernel_arguments(Architecture.AMD64)
    for mode, word in ((SelinuxMode.ENFORCING, "enforcing=1"), (SelinuxMode.PERMISSIVE, "enforcing=0")):
        there = image.model_copy(update={"selinux": Selinux(mode=mode)})
        assert there.kernel_arguments(Architecture.AMD64) == (*plain, "security=selinux", word)
        server = there.model_copy(update={"kind": Kind.SERVER})
        assert server.kernel_arguments(Architecture.AMD64) == (*plain, "security=selinux"), "its own file has the mode"


def test_each_file_gets_the_label_of_its_path_or_of_the_one_that_it_stands_for(
    tools_sandbox: Sandbox, tmp_path: Path
) -> None:
    for name in ("usr/bin/a", "srv/b"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "contexts").write_text(
        "/.*\tsystem_u:object_r:plain_t:s0\n/\tsystem_u:object_r:plain_t:s0\n/usr/bin/.*\tsystem_u:object_r:program_t:s0\n"
        "/data/.*\tsystem_u:object_r:data_t:s0\n"
    )
    (tmp_path / "same").write_text("/srv /data\n")

    def sealed(name: str, labels: tuple[Path, Path] | None) -> bytes:
        target = tmp_path / name
        make_erofs(
            tmp_path / "tree",
            target,
            compression=Compression("", 65536),
            epoch=1,
            label="test",
            sandbox=tools_sandbox,
            labels=labels,
        )
        return target.read_bytes()

    labelled = sealed("labelled", (tmp_path / "contexts", tmp_path / "same"))
    for kind in (b"plain_t", b"program_t", b"data_t"):
        assert b"system_u:object_r:" + kind + b":s0" in labelled
    assert b"object_r" not in sealed("plain", None)


def test_a_host_has_its_policy_and_labels(lab: Lab, tools_sandbox: Sandbox, tmp_path: Path) -> None:
    image = lab.build("container-host") / "root.erofs"
    for label in (b"init_exec_t", b"dockerd_exec_t", b"shadow_t"):
        assert b"system_u:object_r:" + label + b":s0" in image.read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    tools_sandbox.run(
        ["fsck.erofs", "--extract=/out/root", "--no-preserve", "/image"],
        mounts=[Mount(image, "/image"), Mount(out, "/out", writable=True)],
        timeout=60,
    )
    policy = (out / f"root/etc/selinux/default/policy/policy.{POLICY_VERSION}").read_bytes()
    assert policy.startswith(_MAGIC)
    assert b"zaffre_health_t" in policy
    assert "SELINUX=enforcing\n" in (out / "root/etc/selinux/config").read_text()


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        (
            "selinux/containers.cil",
            "; A terminal of",
            "(allow nobody_t etc_t (file (read)))\n; A terminal of",
            "containers.cil:",
        ),
        ("images/container-host.toml", 'modules = ["container"', 'modules = ["nosuch"', "no module 'nosuch'"),
    ],
)
def test_a_policy_that_cannot_be_made_is_an_error_that_names_it(  # noqa: PLR0917 - a table
    lab: Lab, tmp_path: Path, file: str, before: str, after: str, says: str
) -> None:
    distro = shutil.copytree(lab.distro, tmp_path / "distro", symlinks=True)
    text = (distro / file).read_text()
    assert before in text
    (distro / file).write_text(text.replace(before, after, 1))
    words = ("--distro", str(distro), "build", "container-host", "--out", str(tmp_path / "out"))
    done = lab.zaffre(*words, check=False)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
