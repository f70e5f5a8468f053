# SPDX-License-Identifier: Apache-2.0
"""What a running host has that its release does not: in `/etc`, in its units, its extensions and its mounts.

The root is verified, so what differs can only be beside it. `/etc` is an overlay whose upper layer holds exactly what
was written since the start; a file of `/etc` that is kept is a bind mount from `/var`, over whatever the overlay has
there. So a unit of `/etc` that is in neither is the release's own, as those are that it masks. A link that is in the
upper layer by its owner or its SELinux label alone, which systemd-tmpfiles sets anew, is the release's too: to lead
elsewhere, it is made anew. Changes nothing.

Sources: the kernel's Documentation/filesystems/overlayfs.rst (a character device 0/0 is a whiteout; what was copied up
has `trusted.overlay.origin`), systemd.unit(5) for where units come from, proc_pid_mountinfo(5), and systemd-sysext(8)
for `status`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from zaffre.agent.commands import Done, run
from zaffre.agent.overlay import laid_over

UPPER: Final = Path("/run/zaffre/etc/upper")
KEPT: Final = Path("/var/lib/zaffre/etc")
FOLLOW: Final = Path("/usr/lib/systemd/system/zaffre-follow.service")
_KEPT_ON_ITS_DISK = "/lib/zaffre/etc/"
_SECONDS = 60.0
_VERIFIED = ("/usr/", "/run/systemd/generator/", "/run/systemd/generator.early/", "/run/systemd/generator.late/")
"""Where units come from that the release has, or that its generators make of it."""
_PASSING = (".scope", ".slice", ".mount", ".device", ".swap")
"""Kinds of units that programs make while they work: a container's, a session's, what is mounted."""


class Ask(Protocol):
    def __call__(self, *words: str, seconds: float) -> Done: ...


@dataclass(frozen=True)
class Finding:
    """`kind` is "file", "unit", "extension" or "mount". `expected` is what the definition lets differ."""

    kind: str
    name: str
    words: str
    expected: bool = False


@dataclass(frozen=True)
class Drift:
    found: tuple[Finding, ...]

    @property
    def unexpected(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.found if not one.expected)

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return {"drifted": bool(self.unexpected), "found": [asdict(one) for one in self.found]}

    def lines(self) -> list[str]:
        """As people read it."""
        rows = [
            f"{'as defined' if one.expected else 'drifted':<10}  {one.kind:<9}  {one.name}: {one.words}"
            for one in self.found
        ]
        count = len(self.unexpected)
        return [*rows, f"{count} differences from the release" if count else "nothing differs from the release"]


def drift(root: Path = Path("/"), ask: Ask = run, *, released: Collection[tuple[str, str]] = ()) -> Drift:
    """`released` are the kinds and names of extensions that are as the channel has them. Raises ToolError when systemd
    does not answer, and OSError for what cannot be read: an answer is whole.
    """
    found = [*_files(root), *_kept(root), *_units(root, ask), *_extensions(root, ask, released), *_mounts(root)]
    return Drift(tuple(sorted(found, key=lambda one: (one.expected, one.kind, one.name))))


def _files(root: Path) -> Iterator[Finding]:
    upper = _below(root, UPPER)
    hidden = {Path(point) for source, point in _mounted(root) if source.startswith(_KEPT_ON_ITS_DISK)}
    for path in _walk(upper):
        mode = path.lstat()
        name = f"/etc/{path.relative_to(upper)}"
        if hidden.intersection((Path(name), *Path(name).parents)):
            continue
        if stat.S_ISCHR(mode.st_mode) and mode.st_rdev == 0:
            yield Finding("file", name, "was removed since the start")
        elif _only_labelled(path):
            continue
        elif not stat.S_ISDIR(mode.st_mode) or "trusted.overlay.opaque" in _attributes(path):
            yield Finding("file", name, "was written since the start, and is gone after the next one")


def _kept(root: Path) -> Iterator[Finding]:
    kept = _below(root, KEPT)
    for path in _walk(kept):
        if not path.is_dir() or path.is_symlink():
            yield Finding("file", f"/etc/{path.relative_to(kept)}", "is kept over restarts", expected=True)


def _units(root: Path, ask: Ask) -> Iterator[Finding]:
    words = ("systemctl", "show", "*", "--all", "--property=Id,FragmentPath,DropInPaths,Transient")
    said = ask(*words, seconds=_SECONDS).require("the system manager does not say which units it has").out
    for block in said.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        name = values.get("Id", "")
        if not name or name.endswith(_PASSING):
            continue
        if values.get("Transient") == "yes":
            yield Finding("unit", name, "was made while the system runs")
            continue
        paths = [values.get("FragmentPath", ""), *values.get("DropInPaths", "").split()]
        for path in paths:
            if path and not _is_released(root, path):
                yield Finding("unit", name, f"comes from {path}")


def _is_released(root: Path, unit: str) -> bool:
    """Whether a unit's file is in the root that is verified, or is what a generator of it made."""
    if not unit.startswith("/etc/"):
        return unit.startswith(_VERIFIED)
    inner = unit.removeprefix("/etc/")
    written = (_below(root, layer) / inner for layer in (UPPER, KEPT))
    return not any(os.path.lexists(path) and not _only_labelled(path) for path in written)


def _only_labelled(path: Path) -> bool:
    """Whether what is in the upper layer is a link of the release with another owner or label, under its one name. One
    that was moved to another name leaves a whiteout, which is told.
    """
    status = path.lstat()
    return stat.S_ISLNK(status.st_mode) and status.st_nlink == 1 and "trusted.overlay.origin" in _attributes(path)


def _extensions(root: Path, ask: Ask, released: Collection[tuple[str, str]]) -> Iterator[Finding]:
    agent = _followed(root)
    for kind in ("sysext", "confext"):
        tool = f"systemd-{kind}"
        done = ask(tool, "--json=short", "status", seconds=_SECONDS)
        for hierarchy, name in laid_over(done.require(f"{tool} does not say what is merged")):
            brought = kind == "sysext" and name == agent
            words = f"is laid over {hierarchy}" + (", from the channel" if (kind, name) in released else "")
            yield Finding("extension", name, words, expected=brought or (kind, name) in released)
            if kind == "confext":
                unseen = f"what is written since {name} was laid over it is in a layer that cannot be looked into"
                yield Finding("file", hierarchy, unseen, expected=True)


def _mounts(root: Path) -> Iterator[Finding]:
    for source, point in _mounted(root):
        if point.startswith(("/usr/", "/etc/")) and not source.startswith(_KEPT_ON_ITS_DISK):
            yield Finding("mount", point, "is mounted over what the release has there")


def _mounted(root: Path) -> Iterator[tuple[str, str]]:
    """Of each mount, the path in what is mounted, and where."""
    for line in _below(root, Path("/proc/self/mountinfo")).read_text("utf-8", "surrogateescape").splitlines():
        source, point = (_unescaped(field) for field in line.split()[3:5])
        yield source, point


def _followed(root: Path) -> str | None:
    """The extension that the host itself lays over: the agent's."""
    unit = _below(root, FOLLOW)
    lines = unit.read_text("utf-8").splitlines() if unit.is_file() else ()
    return next((line.split()[-1] for line in lines if line.startswith("ExecStart=")), None)


def _walk(folder: Path) -> Iterator[Path]:
    """What is in a folder that may be missing, links not followed. Raises OSError for a folder that cannot be read."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _attributes(path: Path) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


def _unescaped(field: str) -> str:
    """proc_pid_mountinfo(5): white space and backslashes are octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")
