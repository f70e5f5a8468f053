# SPDX-License-Identifier: Apache-2.0
"""Library closures, held against what the system's own loader loads."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from zaffre.errors import DefinitionError
from zaffre.image.elf import LibraryFinder, links_on_the_way, real_path

TRIPLET = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"


def loaded(program: str) -> set[str]:
    lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return {str(Path(path).resolve()) for path in re.findall(r"(/\S+)", lines)}


@pytest.mark.parametrize("program", ["/usr/bin/ls", "/usr/bin/tar", "/usr/bin/apt-get", "/usr/sbin/mke2fs"])
def test_the_closure_has_all_that_the_loader_loads(program: str) -> None:
    if not Path(program).exists():
        pytest.skip(f"{program} is not here")
    found = set(LibraryFinder(Path("/"), TRIPLET).closure([program]))
    assert loaded(program) <= found
    assert str(Path(program).resolve()) in found


def test_a_missing_program_says_which_key_to_mend(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="/usr/bin/absent is not in the tree") as caught:
        LibraryFinder(tmp_path, TRIPLET).closure(["/usr/bin/absent"])
    assert "initrd.programs" in (caught.value.resolution or "")


def test_links_are_followed_inside_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "usr/bin/real").touch()
    (tmp_path / "usr/bin/name").symlink_to("/bin/real")
    (tmp_path / "escape").symlink_to("../../../../etc/passwd")
    assert real_path(tmp_path, "/bin/name") == "/usr/bin/real"
    assert links_on_the_way(tmp_path, "/bin/name") == ("/usr/bin/name",)
    assert real_path(tmp_path, "/escape") == "/etc/passwd"
