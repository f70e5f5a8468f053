# SPDX-License-Identifier: Apache-2.0
"""`zaffre check` of a container image: run as it ships, with programs of the tools tree that ask what it can do.

One of these programs is static, so that it runs where nothing else does; another needs libc and finds a user by it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.machine.crun import PROBES, Bundle, User, unpacked
from zaffre.machine.judge_container import Found, Promises, judged_container
from zaffre.machine.report import CheckReport
from zaffre.oci import read_layout
from zaffre.progress import Progress
from zaffre.sandbox import Completed, Sandbox
from zaffre.store import Store

_STATIC = "/usr/bin/busybox"
_DYNAMIC = "/usr/bin/getent"
_ASK = """
echo uid=$($b id -u) gid=$($b id -g)
echo certificates=$($b grep -c 'BEGIN CERTIFICATE' /etc/ssl/certs/ca-certificates.crt)
echo zone=$(TZ=Europe/Berlin $b date -d @1720000000 +%z)
$b touch "$HOME/.probe" 2>/dev/null && echo home=writable
$b test -w /etc/passwd && echo passwd=writable
echo release=$($b sed -n 's/^IMAGE_ID=//p' /etc/os-release)
"""
_PROGRAMS = 0o111


@dataclass(frozen=True)
class Source:
    """The image's file that names its repository, with a text that names one which is served for the check."""

    path: str
    text: str


@dataclass(frozen=True)
class ContainerSubject:
    """`layout` is the folder of the built image."""

    name: str
    layout: Path
    promises: Promises
    source: Source | None = None


def check_container(
    subject: ContainerSubject, *, store: Store, sandbox: Sandbox, progress: Progress, seconds: float
) -> CheckReport:
    """Run the image's promises. `seconds` is the limit of each program.

    Raises IntegrityError for a layout that does not hold, ToolError where no container can be run here.
    """
    began = time.monotonic()
    image, *others = read_layout(subject.layout)
    if others:
        raise DefinitionError("the layout has several images, and one is checked at a time", where=str(subject.layout))
    with (
        progress.step(f"check {subject.name} in a container (crun)") as remark,
        unpacked(subject.layout, image, store=store, sandbox=sandbox) as bundle,
    ):
        found = _ask(bundle, subject, seconds)
        remark("asked")
    return CheckReport(
        image=subject.name,
        accelerator="crun",
        lines=judged_container(found, subject.promises),
        boots=(),
        memory_used_bytes=None,
        memory_total_bytes=None,
        seconds=round(time.monotonic() - began, 3),
    )


def _ask(bundle: Bundle, subject: ContainerSubject, seconds: float) -> Found:
    programs = tuple(sorted(_programs(bundle.rootfs)))
    libc = any((bundle.rootfs / "usr/lib").glob("*-linux-gnu/libc.so.6"))
    user = bundle.user
    static = bundle.run(
        [f"{PROBES}/busybox", "sh", "-c", f"b={PROBES}/busybox\n{_ASK}"], timeout=seconds, probes=[_STATIC]
    )
    dynamic = bundle.run([f"{PROBES}/getent", "passwd", str(user.uid)], timeout=seconds, probes=[_DYNAMIC])
    shell = bundle.run(["/bin/sh", "-c", "echo answers"], timeout=seconds)
    return Found(
        digest=bundle.image.manifest.digest,
        user=user,
        facts=_facts(static),
        static=_words(static),
        libc=libc,
        dynamic=_words(dynamic),
        shell=_words(shell) if shell.returncode == 0 else "",
        programs=programs,
        packages=_packages(bundle.rootfs),
        update=_update(bundle, subject.source, seconds) if subject.source is not None else None,
    )


def _update(bundle: Bundle, source: Source, seconds: float) -> str:
    """Apt's words when it has read the repository; what it said else, with "failed: " before it."""
    root = User(0, 0, "root", "/root")
    argv = [
        *("apt-get", "-q", "--error-on=any", "update"),
        *("-o", f"Dir::Etc::sourcelist={source.path}", "-o", "Dir::Etc::sourceparts=-"),
        *("-o", "Acquire::http::Proxy=false"),
    ]
    # The image's own file but for the URL: its suite and its key are what is tried.
    script = 'printf %s "$2" >"$1"; shift 2; exec "$@"'
    words = ["/bin/sh", "-c", script, "sh", source.path, source.text, *argv]
    done = bundle.run(words, timeout=seconds, user=root, network=True)
    return _words(done) if done.returncode == 0 else f"failed: {_words(done)}"


def _facts(done: Completed) -> Mapping[str, str]:
    words = done.stdout.decode(errors="replace").split()
    return {name: value for name, separator, value in (word.partition("=") for word in words) if separator}


def _words(done: Completed) -> str:
    return done.stdout.decode(errors="replace").strip() or done.stderr_tail.strip()


def _programs(rootfs: Path) -> list[str]:
    """Regular files that may be executed, by their paths in the image; libraries are none."""
    return [
        f"/{path.relative_to(rootfs)}"
        for path in rootfs.rglob("*")
        if not path.is_symlink() and path.is_file() and path.stat().st_mode & _PROGRAMS and ".so" not in path.name
    ]


def _packages(rootfs: Path) -> frozenset[str]:
    """What dpkg's database of the image says is installed."""
    status = rootfs / "var/lib/dpkg/status"
    if status.is_symlink() or not status.is_file():
        return frozenset()
    lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    return frozenset(line.removeprefix("Package: ") for line in lines if line.startswith("Package: "))
