# SPDX-License-Identifier: Apache-2.0
"""An ordinary user, for real: another uid, subordinate ids, no root at the outside."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import platformdirs
import pytest

import zaffre
from zaffre.errors import WorldError
from zaffre.sandbox import become_root_in_namespace
from zaffre.sandbox.namespace import subordinate_ids

ORDINARY = 65534


class OrdinaryUser:
    """Runs Python programs that import zaffre as uid 65534; the host's /etc/subuid is only covered, not changed."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.python = python

    def run(
        self, program: str, *, subordinate: str | None = "nobody:300000:65536\n"
    ) -> subprocess.CompletedProcess[str]:
        ids = self.folder / "subuid"
        ids.write_text(subordinate or "")
        ids.chmod(0o644)
        environment = {"PYTHONPATH": str(self.folder / "lib"), "PATH": os.environ["PATH"], "HOME": str(self.folder)}
        words = [self.python, "-B", "-c", program]
        if os.geteuid() == 0:
            cover = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"'
            drop = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--", "env"]
            words = ["unshare", "--mount", "sh", "-c", cover, str(ids), *drop, *words]
        return subprocess.run(
            words, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture
def ordinary(unmet: Callable[[str], NoReturn]) -> Iterator[OrdinaryUser]:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user with subordinate ids of the test's choice")
    for program in ("newuidmap", "setpriv", "unshare", "bwrap"):
        if shutil.which(program) is None:
            unmet(f"{program} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="zaffre-test-"))
    folder.chmod(0o755)
    for module in (zaffre, platformdirs):
        source = Path(str(module.__file__)).parent
        shutil.copytree(source, folder / "lib" / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, ORDINARY, ORDINARY)
    for python in (sys.executable, "/usr/bin/python3"):
        user = OrdinaryUser(folder, python)
        if user.run("import sys; assert sys.version_info >= (3, 11)").returncode == 0:
            break
    else:
        shutil.rmtree(folder)
        unmet("an ordinary user can start no Python 3.11 here")
    yield user
    shutil.rmtree(folder)


INSIDE = """
import json, os
from pathlib import Path
from zaffre.sandbox import Mount, Sandbox, ToolsTree, doctor
from zaffre.errors import ToolError
from zaffre.store import Action, ActionResult, Store

sandbox = Sandbox(ToolsTree(Path("/"), "host"))
store = Store(Path("store"))
report = {"uid": os.geteuid()}

def fill(root):
    sandbox.run(
        ["sh", "-euc", "touch /tmp/out/f; chown 100:42 /tmp/out/f; chmod 2755 /tmp/out/f; mkdir /tmp/out/d;"
         "touch /tmp/out/d/x; chown -R 65534:65534 /tmp/out/d; chmod 0 /tmp/out/d; ! mknod /tmp/out/n b 7 0"],
        mounts=[Mount(root, "/tmp/out", writable=True)], timeout=60)
    status = (root / "f").stat()
    report["file"] = [status.st_uid, status.st_gid, status.st_mode & 0o7777]

store.add_tree("a" * 64, fill)
store.gc(max_age_days=0, max_bytes=0, dry_run=False)
report["left"] = os.listdir("store/trees")

root = Path("root")
for name in ("usr", "tmp", "run", "proc", "dev"):
    (root / name).mkdir(parents=True)
for name in ("bin", "lib", "lib64", "sbin"):
    (root / name).symlink_to("usr/" + name)
sandbox.run(["/bin/sh", "-euc", "mkdir -p /var/x; chown 33:33 /var/x; chmod 700 /var/x; ! mount -t tmpfs none /tmp"],
            root=root, mounts=[Mount(Path("/usr"), "/usr")], timeout=60)
report["owner"] = (root / "var/x").stat().st_uid
try:
    sandbox.run(["sh", "-c", "id -u; exit 9"], timeout=60)
except ToolError as error:
    report["command"] = error.command
report["checks"] = {check.name: check.ok for check in doctor(space_at=Path("."))}
print(json.dumps(report))
"""

BECOME = """
import sys
from zaffre.sandbox import become_root_in_namespace
from zaffre.errors import WorldError
try:
    become_root_in_namespace([sys.executable, "-B", "-c", {inside!r}])
except WorldError as error:
    print(error, error.resolution, sep="\\n")
    sys.exit(3)
"""


@pytest.mark.tools
def test_an_ordinary_user_is_root_in_a_namespace(ordinary: OrdinaryUser) -> None:
    done = ordinary.run(BECOME.format(inside=INSIDE))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["uid"] == 0
    assert report["file"] == [100, 42, 0o2755]
    assert report["left"] == []
    assert report["owner"] == 33
    assert report["checks"]["sandbox"]
    outside = (ordinary.folder / "root" / "var" / "x").lstat()
    assert outside.st_uid == 300000 + 32  # ids from 1 on are the subordinate ones
    assert stat.S_IMODE(outside.st_mode) == 0o700
    pasted = f"import subprocess; print(subprocess.run(['sh', '-c', {report['command']!r}]).returncode)"
    again = ordinary.run(pasted)
    assert again.stdout.split() == ["0", "9"], again.stderr


@pytest.mark.tools
@pytest.mark.parametrize("subordinate", [None, "somebody:100000:65536\n", "nobody:100000:1000\n"])
def test_missing_subordinate_ids_are_explained(ordinary: OrdinaryUser, subordinate: str | None) -> None:
    done = ordinary.run(BECOME.format(inside="print('not reached')"), subordinate=subordinate)
    assert done.returncode == 3
    assert "/etc/subuid: nobody has" in done.stdout
    assert "usermod --add-subuids" in done.stdout


@pytest.mark.tools
def test_without_many_ids_simple_programs_still_run(ordinary: OrdinaryUser) -> None:
    done = ordinary.run(
        "from pathlib import Path\n"
        "from zaffre.sandbox import Sandbox, ToolsTree\n"
        "print(Sandbox(ToolsTree(Path('/'), 'host')).run(['id', '-u'], timeout=60).stdout)"
    )
    assert done.stdout == "b'0\\n'\n", done.stderr


@pytest.mark.tools
def test_the_doctor_tells_an_ordinary_user_what_is_missing(ordinary: OrdinaryUser) -> None:
    done = ordinary.run(
        "from pathlib import Path\n"
        "from zaffre.sandbox import doctor\n"
        "for check in doctor(space_at=Path('.')): print(check.name, check.ok, check.remedy)",
        subordinate=None,
    )
    assert "building as an ordinary user False as root: `usermod" in done.stdout, done.stderr


def test_root_needs_no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    become_root_in_namespace(["false"])


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorldError, match="newuidmap is not installed") as caught:
        become_root_in_namespace(["true"])
    assert "apt install uidmap" in str(caught.value.resolution)


def test_subordinate_ids_are_added_up() -> None:
    text = "# comment\nme:100000:1000\n1000:300000:65536\nother:1:5\nme:bad\nme:1:x\n"
    assert subordinate_ids(text, user="me", uid=1000) == 66536
    assert subordinate_ids(text, user="nobody", uid=65534) == 0
