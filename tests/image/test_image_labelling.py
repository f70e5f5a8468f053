# SPDX-License-Identifier: Apache-2.0
"""Labels in an ext4 file system, written by debugfs and read back by it."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import pytest

from zaffre.digest import sha256_file
from zaffre.errors import DefinitionError, ToolError
from zaffre.image.ext4 import make_ext4
from zaffre.image.labelling import label_ext4
from zaffre.sandbox import Mount, Sandbox

pytestmark = pytest.mark.tools
EPOCH = 1_700_000_000
SIZE = 32 << 20
TABLE = """\
/.*	system_u:object_r:plain_t:s0
/	system_u:object_r:root_t:s0
/usr/bin/.*	--	system_u:object_r:program_t:s0
/usr/bin/.*	-l	system_u:object_r:link_t:s0
/usr/bin	-d	system_u:object_r:programs_t:s0
/run/.*	-p	system_u:object_r:pipe_t:s0
/run/.*	-s	system_u:object_r:socket_t:s0
/data/.*	system_u:object_r:data_t:s0-s0:c0.c1023
/none	<<none>>
/lost\\+found	-d	system_u:object_r:lost_t:s0
"""
EXPECTED = {
    "/": "root_t:s0",
    "/lost+found": "lost_t:s0",
    "/usr": "plain_t:s0",
    "/usr/bin": "programs_t:s0",
    "/usr/bin/program": "program_t:s0",
    "/usr/bin/link": "link_t:s0",
    '/usr/bin/a "quoted" name': "program_t:s0",
    "/usr/bin/größer; rm -rf $HOME": "program_t:s0",
    "/usr/bin/not UTF-8: \udcff": "program_t:s0",
    "/run/pipe": "pipe_t:s0",
    "/srv/file": "data_t:s0-s0:c0.c1023",
    "/none": None,
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in EXPECTED:
        if name in {"/", "/lost+found", "/usr", "/usr/bin"}:
            continue
        path = root / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        match name:
            case "/usr/bin/link":
                path.symlink_to("program")
            case "/run/pipe":
                os.mkfifo(path)
            case _:
                path.write_text("content")
    return root


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    contexts, same = tmp_path / "contexts", tmp_path / "same"
    contexts.write_text(TABLE)
    same.write_text("/srv /data\n")
    return contexts, same


def labelled(tree: Path, tables: tuple[Path, Path], target: Path, sandbox: Sandbox) -> int:
    make_ext4(tree, target, size=SIZE, label="root", seed=uuid.UUID(int=1), epoch=EPOCH, sandbox=sandbox)
    scratch = target.with_suffix(".scratch")
    scratch.mkdir()
    return label_ext4(target, tree, tables, epoch=EPOCH, scratch=scratch, sandbox=sandbox)


def labels_of(image: Path, paths: list[str], folder: Path, sandbox: Sandbox) -> dict[str, str | None]:
    requests = folder / "requests"
    asked = ('ea_get -V "{}" security.selinux\n'.format(path.replace('"', '""')) for path in paths)
    requests.write_bytes(os.fsencode("".join(asked)))
    told = sandbox.run(
        ["debugfs", "-f", "/job/requests", "/image"], mounts=[Mount(folder, "/job"), Mount(image, "/image")], timeout=60
    )
    answers = re.split(r"^debugfs: ea_get .*\n", told.stdout.decode(errors="surrogateescape"), flags=re.MULTILINE)[1:]
    assert len(answers) == len(paths)
    return {path: answer.rstrip("\0\n") or None for path, answer in zip(paths, answers, strict=True)}


def test_each_file_has_the_label_of_its_path_and_kind(
    tree: Path, tables: tuple[Path, Path], tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    image = tmp_path / "root.ext4"
    assert labelled(tree, tables, image, tools_sandbox) == len(EXPECTED) + 2 - 1, "/run and /srv too, and not /none"
    (tmp_path / "job").mkdir()
    found = labels_of(image, list(EXPECTED), tmp_path / "job", tools_sandbox)
    assert found == {path: f"system_u:object_r:{label}" if label else None for path, label in EXPECTED.items()}
    tools_sandbox.run(["e2fsck", "-f", "-n", "/image"], mounts=[Mount(image, "/image")], timeout=60)
    block = tools_sandbox.run(
        ["debugfs", "-R", "stat /usr/bin/program", "/image"], mounts=[Mount(image, "/image")], timeout=60
    )
    assert "File ACL: 0\n" in block.stdout.decode(), "a label takes no block of its own"


def test_the_same_tree_gives_the_same_bytes(
    tree: Path, tables: tuple[Path, Path], tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    images = [tmp_path / name for name in ("first.ext4", "second.ext4")]
    for image in images:
        labelled(tree, tables, image, tools_sandbox)
    assert sha256_file(images[0]) == sha256_file(images[1])


def test_a_name_that_no_command_can_hold_is_an_error(
    tree: Path, tables: tuple[Path, Path], tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    (tree / "a\nb").write_text("")
    with pytest.raises(DefinitionError, match="line feed"):
        labelled(tree, tables, tmp_path / "root.ext4", tools_sandbox)


def test_a_label_that_could_not_be_written_is_an_error(
    tree: Path, tables: tuple[Path, Path], tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    image = tmp_path / "root.ext4"
    labelled(tree, tables, image, tools_sandbox)
    (tree / "usr/bin/another").write_text("it is not in the file system")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(ToolError, match="could not be written"):
        label_ext4(image, tree, tables, epoch=EPOCH, scratch=tmp_path / "scratch", sandbox=tools_sandbox)
