# SPDX-License-Identifier: Apache-2.0
"""The sealed agent over a real host's root: Debian's Python, python-tuf and pydantic, and nothing else, do the work."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.lab import Lab
from support.releases import Yard, neighbour
from zaffre.cli.making import Making
from zaffre.image.python import foreign_root, name_libraries
from zaffre.progress import SILENT
from zaffre.sandbox import Mount, Sandbox
from zaffre.slots import root_uuids
from zaffre.tree import package_files

pytestmark = pytest.mark.tools

SCRIPT = """\
import functools, http.server, json, resource, sys, threading
sys.path.insert(0, "/usr/lib/zaffre-agent")
from pathlib import Path
from zaffre.agent.home import Home
from zaffre.agent.host import Machine
from zaffre.agent.overlay import Systemd
from zaffre.agent.program import main
from zaffre.agent.settings import read_settings
from zaffre.agent.status import status
from datetime import datetime, timezone

class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), functools.partial(Quiet, directory="/job/repo"))
threading.Thread(target=server.serve_forever, daemon=True).start()

class Here(Machine):
    staged = ()
    def blessed(self): return True
    def versions(self): return ("1.3", *self.staged)
    def installed(self, version): return version in self.versions()
    def forget(self, version): pass
    def stage(self, version):
        Path("/job/handed").mkdir(exist_ok=True)
        for one in Path("/job/state/incoming").iterdir():
            (Path("/job/handed") / one.name).write_bytes(one.read_bytes())
        Here.staged = (version,)

class Bare(Systemd):
    def merge(self, kind): pass
    def merged(self, kind): return frozenset()

bare = Bare(Path("/job/root"))
words = ["--root", "/job/root", "--settings", "/job/agent.toml", "--state", "/job/state", "--trusted", "/job/root.json"]
here = Here(Path("/job/root"))
code = main([*words, *sys.argv[1:]], host=here, overlay=bare)
settings, home = read_settings([Path("/job/agent.toml")]), Home(Path("/job/state"))
status(here, home, settings, datetime.now(timezone.utc), overlay=bare)
import tuf
print(json.dumps({
    "code": code,
    "tuf": tuf.__version__,
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def data_of(image: Path, target: Path) -> None:
    """The first partition of a GPT disk image (UEFI 2.10, 5.3.3)."""
    with image.open("rb") as disk:
        disk.seek(1024 + 32)
        first, last = struct.unpack("<QQ", disk.read(16))
        disk.seek(first * 512)
        target.write_bytes(disk.read((last - first + 1) * 512))


@pytest.fixture(scope="module")
def root(lab: Lab, tools_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A host's root with the agent laid over it, as systemd-sysext does it."""
    folder = tmp_path_factory.mktemp("agent-image")
    data_of(lab.build("agent") / "extension.raw", folder / "agent.erofs")
    shutil.copy(lab.build("container-host") / "root.erofs", folder / "host.erofs")
    for name in ("host", "agent"):
        tools_sandbox.run(
            ["fsck.erofs", f"--extract=/job/{name}", f"/job/{name}.erofs"],
            mounts=[Mount(folder, "/job", writable=True)],
            timeout=120,
        )
    assert not list((folder / "host/usr/bin").glob("python*"))
    shutil.copytree(folder / "agent", folder / "host", symlinks=True, dirs_exist_ok=True)
    yield folder / "host"
    shutil.rmtree(folder)


def run(root: Path, job: Path, *words: str) -> dict[str, object]:
    done = Sandbox(None).run(
        ["/usr/bin/python3.13", "-IB", "-c", SCRIPT, *words],
        root=root,
        mounts=[Mount(job, "/job", writable=True)],
        timeout=120,
        check=False,
    )
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stderr_tail
    return {**json.loads(lines[-1]), "said": "\n".join(lines[:-1]), "told": done.stderr_tail}


def lay(root: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def test_it_follows_a_channel_with_what_debian_packages(root: Path, yard: Yard, tmp_path: Path) -> None:
    yard.publish("1.3", contents=neighbour("1.3"))
    yard.publish("1.4", contents=neighbour("1.4"), deltas=1)
    job = tmp_path / "job"
    uuid, _ = root_uuids("1" * 64)
    lay(
        job / "root",
        {
            "proc/sys/kernel/random/boot_id": b"12345678-1234-1234-1234-123456789012\n",
            "proc/cmdline": f"quiet roothash={'1' * 64}\n".encode(),
            "etc/os-release": b"ID=zaffre\nIMAGE_ID=zaffre-host\nIMAGE_VERSION=1.3\n",
            "etc/machine-id": b"0123456789abcdef0123456789abcdef\n",
            # The verity tree's partition would have the same UUID by this root hash: it is not what its delta needs.
            f"dev/disk/by-partuuid/{uuid}": neighbour("1.3")["root.erofs"] + bytes(4096),
            "boot/EFI/Linux/zaffre-host_1.3.efi": neighbour("1.3")["uki.efi"],
        },
    )
    (job / "root.json").write_bytes(yard.first)
    (job / "agent.toml").write_text('place = "http://127.0.0.1:8000"\nchannel = "dev"\n')
    shutil.copytree(yard.repo, job / "repo")

    assert run(root, job, "order", "1.4")["code"] == 0
    done = run(root, job, "update")
    assert done["code"] == 0, done["told"]
    assert str(done["tuf"]).startswith("5.")
    assert str(done["said"]).startswith("restart 1.4")
    build = yard.root / "out/host-1.4-amd64"
    files = ("root.erofs", "root.verity", "uki.efi")
    handed = {name: next((job / "handed").glob(f"*.{name}")).read_bytes() for name in files}
    assert handed == {name: (build / name).read_bytes() for name in files}
    brought = json.loads((job / "state/brought.json").read_bytes())
    assert (brought["by_delta"], list(brought["fell_back"])) == (["root.erofs", "uki.efi"], ["root.verity"])
    assert float(str(done["megabytes"])) < 60

    # A root of newer keys is followed from the image's own, and the one before it is not believed again.
    old = shutil.copytree(job / "repo", job / "old")
    yard.rotate("root", ["root-1"], ["root-4"])
    shutil.rmtree(job / "repo")
    shutil.copytree(yard.repo, job / "repo")
    assert run(root, job, "check")["code"] == 0
    assert json.loads((job / "state/metadata/root.json").read_bytes())["signed"]["version"] == 2
    shutil.rmtree(job / "repo")
    Path(old).rename(job / "repo")
    refused = run(root, job, "check")
    assert refused["code"] == 3
    assert "does not verify" in str(refused["told"])


def lay_libraries(making: Making, root: Path) -> None:
    """What the agent takes from its host beside what every interpreter is linked with, out of the host's packages."""
    locked = making.lock.set("container-host", "arm64")
    packages = [one for one in locked.packages if one.name in {"libgcc-s1", "liblzma5", "libssl3t64"}]
    making.fetch(packages)
    contents = package_files(
        packages,
        upstream=making.work.distribution.upstreams[locked.upstream],
        store=making.work.store,
        sandbox=making.sandbox,
        progress=SILENT,
    )
    for package in contents.values():
        for path in package.matching("/usr/lib/*-linux-gnu/*.so.*", (), key="test"):
            package.take(path, root / path.lstrip("/"), key="test")
    name_libraries(root)


def test_for_arm64_it_runs_by_its_own_interpreter(lab: Lab, tmp_path: Path) -> None:
    """Emulated, with the libraries of the tools tree: its modules are there, compiled, and say how it is used."""
    build = lab.build("agent", "--arch", "arm64")
    assert lab.json("verify", str(build))["ok"]
    data_of(build / "extension.raw", tmp_path / "agent.erofs")
    script = (
        "import sys; sys.path[:0] = ['/job/agent/usr/lib/zaffre-agent', '/job/agent/usr/lib/python3/dist-packages'];"
        "import platform; print(platform.machine(), flush=True);"
        "from zaffre.agent.program import main; main(['--help'])"
    )
    with lab.workspace() as work:
        making = Making(work)
        sandbox = making.sandbox_for("arm64")
        sandbox.run(
            ["fsck.erofs", "--extract=/job/agent", "/job/agent.erofs"],
            mounts=[Mount(tmp_path, "/job", writable=True)],
            timeout=300,
        )
        root = foreign_root(tmp_path, sandbox)
        assert root is not None
        lay_libraries(making, root)
        done = sandbox.run(
            ["/job/agent/usr/bin/python3.13", "-IB", "-c", script],
            root=root,
            mounts=[Mount(tmp_path, "/job")],
            env={"LD_LIBRARY_PATH": "/job/agent/usr/lib/aarch64-linux-gnu"},
            timeout=600,
        )
    assert done.stdout.startswith(b"aarch64\nusage: zaffre-agent")
    assert list((tmp_path / "agent/usr/lib/zaffre-agent/zaffre").rglob("*.pyc"))
    assert not list((tmp_path / "agent/usr/lib").rglob("*.py"))


def test_a_library_that_is_not_there_would_be_seen(root: Path) -> None:
    """All modules of the agent are in the image, and import in it."""
    script = (
        "import sys, pkgutil, importlib; sys.path.insert(0, '/usr/lib/zaffre-agent');"
        "import zaffre.agent, zaffre.delta, zaffre.follow;"
        "[importlib.import_module(f'{p.__name__}.{m.name}') for p in (zaffre.agent, zaffre.delta, zaffre.follow)"
        " for m in pkgutil.iter_modules(p.__path__) if m.name != '__main__'];"
        "import ssl, bz2, lzma, zlib; print(ssl.OPENSSL_VERSION)"
    )
    done = Sandbox(None).run(["/usr/bin/python3.13", "-IB", "-c", script], root=root, timeout=60)
    assert done.stdout.startswith(b"OpenSSL 3")
    assert not list((root / "usr/lib/python3.13").rglob("*.py"))
    assert not list((root / "usr/lib").rglob("__pycache__"))
    started = Sandbox(None).run(["/usr/lib/zaffre-agent/zaffre-agent", "--help"], root=root, timeout=60)
    assert b"zaffre-agent status" in started.stdout
