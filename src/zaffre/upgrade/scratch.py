# SPDX-License-Identifier: Apache-2.0
"""A scratch root in which apt of the tools tree works by chroot, and a repository of nothing but one locked set.

The repository is trusted for what it is made of: files of the store that have the lock's digests. Nothing here reaches
a network.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import Sha256, sha256_bytes
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.deb.configure import ENVIRONMENT, POLICY, POLICY_TEXT
from zaffre.tree.deb.dpkgdb import ADMIN, PROVIDES
from zaffre.tree.deb.installed import MARKS, mark_dependencies
from zaffre.tree.rootfs import read_text, write_text
from zaffre.upstream.deb.control import parse_stanzas

_ROOT = "/job/root"
_APT = "/job/apt"
_REPOSITORY = "/run/zaffre-repository"
"""The same path in the sandbox and in the chroot: apt hands dpkg the paths that it knows."""

_TIMEOUT = 3600.0
_JOINED = 'exec apt-get -q "$@" 2>&1'
_MOVED = re.compile(r"(?P<verb>Inst|Remv) (?P<name>[^\s:]+)(?::\S+)?(?: \[[^\]]*\])?(?: \((?P<version>\S+) )?")
_ASKED = re.compile(r"^Configuration file '(?P<path>[^']+)'", re.MULTILINE)
_CONFIGURATION = f"""\
Dir::State "{_APT}/state";
Dir::State::status "{_ROOT}/{ADMIN}/status";
Dir::Cache "{_APT}/cache";
Dir::Log "{_APT}/log";
Dir::Etc "{_APT}/etc";
Dir::Etc::sourcelist "{_APT}/sources.list";
Dir::Etc::sourceparts "{_APT}/etc";
Dir::Etc::parts "{_APT}/etc";
Dir::Etc::preferencesparts "{_APT}/etc";
DPkg::Chroot-Directory "{_ROOT}";
DPkg::Options {{{{ "--force-unsafe-io"; "--force-confdef"; "--force-confold"; "--log=/dev/null"; }}}};
Dpkg::Use-Pty "false";
APT::Architecture "{{architecture}}";
#clear APT::Architectures;
APT::Architectures {{{{ "{{architecture}}"; }}}};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
"""


@dataclass(frozen=True)
class Answer:
    """What apt said. `asked`: configuration files that dpkg would have asked about."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def asked(self) -> tuple[str, ...]:
        return tuple(match["path"] for match in _ASKED.finditer(self.stdout))


@dataclass(frozen=True)
class ScratchRoot:
    """A configured root, `root`, and a folder `apt` for what apt keeps; see `prepare`."""

    root: Path
    apt_folder: Path
    repository: Path
    sandbox: Sandbox

    def apt(self, *words: str, joined: bool = False) -> Answer:
        """Run apt-get on the root. Never raises for what apt says; ToolError when it can't be started or never ends.

        `joined`: all that is said is on stdout in its order, as dpkg asks its questions on stderr, of which only the
        end is kept.
        """
        done = self.sandbox.run(
            ["/bin/sh", "-c", _JOINED, "sh", *words] if joined else ["apt-get", "-q", *words],
            mounts=[
                Mount(self.apt_folder, _APT, writable=True),
                Mount(self.repository, _REPOSITORY),
                Mount(self.root, _ROOT, writable=True),
                Mount(self.repository, f"{_ROOT}{_REPOSITORY}"),
            ],
            env={**ENVIRONMENT, "APT_CONFIG": f"{_APT}/apt.conf"},
            chroot=_ROOT,
            timeout=_TIMEOUT,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr_tail)

    def installed(self) -> dict[str, str]:
        """Versions of what is installed, by name; what is neither installed nor removed has its state instead."""
        found = {}
        for stanza in parse_stanzas(read_text(self.root, f"{ADMIN}/status")):
            state = stanza["Status"]
            if stanza["Package"] == PROVIDES or state.endswith((" not-installed", " config-files")):
                continue
            found[stanza["Package"]] = stanza["Version"] if state == "install ok installed" else state
        return found


@dataclass(frozen=True)
class Offered:
    """A package file of the repository, and the text of its control file."""

    path: Path
    control: str
    sha256: Sha256


def prepare(
    scratch: ScratchRoot,
    *,
    installed: Mapping[str, str],
    offered: Iterable[Offered],
    architecture: str,
    wanted: Collection[str] = (),
) -> None:
    """Make a configured root one that apt can work on, and fill the repository with the packages offered.

    No service is started. `installed` are words of dpkg's status file for packages without files that count as
    installed, by name. With `wanted`, all other packages are there for these only (apt-mark(8)).
    """
    write_text(scratch.root, POLICY, POLICY_TEXT, mode=0o755)
    status = f"{ADMIN}/status"
    texts = [read_text(scratch.root, status).strip("\n"), *(text.strip("\n") for text in installed.values())]
    write_text(scratch.root, status, "".join(f"{text}\n\n" for text in texts))
    for name in installed:
        write_text(scratch.root, f"{ADMIN}/info/{name}.list", "")
    for name in ("etc", "log", "state/lists/partial", "cache/archives/partial"):
        (scratch.apt_folder / name).mkdir(parents=True)
    if wanted:
        mark_dependencies(scratch.root, wanted)
        shutil.move(scratch.root / MARKS, scratch.apt_folder / "state")
    (scratch.apt_folder / "apt.conf").write_text(_CONFIGURATION.format(architecture=architecture))
    (scratch.apt_folder / "sources.list").write_text(f"deb [trusted=yes arch={architecture}] file:{_REPOSITORY} ./\n")
    _write_repository(scratch.repository, offered)


def _write_repository(folder: Path, offered: Iterable[Offered]) -> None:
    """A flat repository in the form of dpkg-scanpackages(1)."""
    stanzas = []
    for one in sorted(offered, key=lambda one: one.sha256):
        name = f"{one.sha256}.deb"
        _place(one.path, folder / name)
        size = one.path.stat().st_size
        stanzas.append(f"{one.control.strip()}\nFilename: ./{name}\nSize: {size}\nSHA256: {one.sha256}\n")
    packages = "\n".join(stanzas).encode()
    (folder / "Packages").write_bytes(packages)
    (folder / "Release").write_text(f"SHA256:\n {sha256_bytes(packages)} {len(packages)} Packages\n")


def _place(blob: Path, target: Path) -> None:
    """A further name where the file system allows it, else a copy. Nobody writes to it: it is mounted read-only."""
    try:
        os.link(blob, target)
    except OSError:
        shutil.copyfile(blob, target)


def simulated(answer: Answer, installed: Mapping[str, str]) -> dict[str, str]:
    """What would be installed after a simulation, by the lines in which apt-get(8) tells it."""
    after = dict(installed)
    for line in answer.stdout.splitlines():
        match = _MOVED.match(line)
        if match is None:
            continue
        if match["verb"] == "Remv":
            after.pop(match["name"], None)
        elif match["version"]:
            after[match["name"]] = match["version"]
    return after
