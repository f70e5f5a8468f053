# SPDX-License-Identifier: Apache-2.0
"""Everything as an ordinary user with subordinate ids: another uid for real, and the same bits as root's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pydantic
import pytest

import zaffre
from support.own import seed
from support.program import Place, leftovers, promised

ORDINARY = 65534
IMAGE = "container-host"
_SITE = Path(str(pydantic.__file__)).parent.parent
_SOURCE = Path(str(zaffre.__file__)).parent.parent
_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"

# In a mount namespace of its own: the user's subordinate ids, and what lies where only root can look.
_ENTER = """
set -eu
mount --bind "$0/subuid" /etc/subuid
mount --bind "$0/subuid" /etc/subgid
for name in python site source; do
    if [ -e "$0/$name.from" ]; then mount --bind "$(readlink "$0/$name.from")" "$0/$name"; fi
done
exec "$@"
"""


@pytest.fixture
def ordinary(own: Place, unmet: Callable[[str], NoReturn]) -> Iterator[Place]:
    """The same distribution and keys in the hands of nobody, with a store that has packages, but no tools."""
    if os.geteuid() != 0:
        unmet("only root can become another user with subordinate ids of the test's choice")
    for program in ("newuidmap", "setpriv", "unshare"):
        if shutil.which(program) is None:
            unmet(f"{program} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="zaffre-e2e-"))
    shutil.copytree(own.distro, folder / "distro", symlinks=True)
    shutil.copytree(own.keys, folder / "keys")
    (folder / "subuid").write_text("nobody:300000:65536\n")
    for name, source in (("python", Path(sys.base_prefix)), ("site", _SITE), ("source", _SOURCE)):
        (folder / name).mkdir()
        (folder / f"{name}.from").symlink_to(source)
    place = Place(folder / "distro", folder / "keys", folder / "store", folder / "out")
    seed(place, "tools", IMAGE, trees=False)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, ORDINARY, ORDINARY, follow_symlinks=False)
    # setpriv itself may still look where only root can; what env starts may not.
    drop = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--", "env"]
    place = place.at(
        through=["unshare", "--mount", "sh", "-c", _ENTER, str(folder), *drop],
        environment={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{folder}/source:{folder}/site"},
    )
    yield place.at(python=(*interpreter(place, folder, unmet), "-B", "-m", "zaffre"))
    shutil.rmtree(folder)


def interpreter(place: Place, folder: Path, unmet: Callable[[str], NoReturn]) -> Sequence[str]:
    """One that an ordinary user can start and that can load what this one can."""
    test = f"import sys, ssl, pydantic_core; assert sys.version.startswith('{_VERSION}.')"
    moved = (f"LD_LIBRARY_PATH={folder}/python/lib", f"{folder}/python/bin/python{_VERSION}")
    for words in ((sys.executable,), ("/usr/bin/python3",), moved):
        trial = [*place.through, *words, "-B", "-c", test]
        if subprocess.run(trial, env=place.environment, cwd="/", check=False, capture_output=True).returncode == 0:
            return words
    return unmet("an ordinary user can start no such Python here")


def test_an_ordinary_user_builds_the_same(own: Place, ordinary: Place) -> None:
    expected = promised(own.build(IMAGE))
    assert "This machine can build." in ordinary.run("doctor").out
    folder = ordinary.build(IMAGE)
    assert promised(folder) == expected
    assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {ORDINARY}
    assert tree_digests(ordinary) == tree_digests(own), "the tools are the same too, with their owners"
    assert "everything holds" in ordinary.run("verify", str(folder)).out
    ordinary.build("check")
    assert ordinary.run("store", "verify", "--json").json["ok"] is True
    assert list(leftovers(ordinary)) == []


def tree_digests(place: Place) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in (place.store / "trees").glob("*/digest")}


def test_without_subordinate_ids_the_user_is_told(ordinary: Place) -> None:
    (ordinary.distro.parent / "subuid").write_text("")
    done = ordinary.run("build", IMAGE, "--out", str(ordinary.out), code=3)
    assert "error: nobody has 0 subordinate ids where 65534 are needed\n  where: /etc/subuid\n" in done.said
    assert "usermod --add-subuids" in done.said
