# SPDX-License-Identifier: Apache-2.0
"""The one door to external programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from zaffre.sandbox.command import Request, bwrap_arguments, pasteable
from zaffre.sandbox.faults import missing_bwrap, missing_faketime, stopped, tool_error
from zaffre.sandbox.foreign import emulation
from zaffre.sandbox.model import Completed, Mount, ToolsTree
from zaffre.sandbox.namespace import current_privilege
from zaffre.sandbox.process import SandboxProcess, Stream, run_to_end
from zaffre.store import disk_full_guard

_PASTED_INPUT = 64 << 10


class Sandbox:
    """Runs programs of a tools tree in bubblewrap: read-only root, no network, nothing of the caller's environment.

    Inside: fresh /proc and /dev, tmpfs (memory) on /tmp and /run, an empty /sys, a fixed host name, own pid,
    ipc, uts and net namespaces, umask 022. Of the real root's capabilities only the few that a build needs; in an
    ordinary user's namespace all, where they count for nothing outside. Every process of a run has ended when it
    returns.

    `tools` may be None only for runs with a `root`: that is how the first tools tree is configured.
    `clock_offset_seconds` moves the clock inside by libfaketime of the tools tree, `jobs` limits the
    processors that programs see; both are for proving that results don't depend on them.
    """

    def __init__(self, tools: ToolsTree | None, *, clock_offset_seconds: int = 0, jobs: int | None = None) -> None:
        self._tools = tools
        self._clock_offset_seconds = clock_offset_seconds
        self._jobs = jobs

    @property
    def tools(self) -> ToolsTree:
        if self._tools is None:
            raise ValueError("this sandbox has no tools tree")
        return self._tools

    @property
    def emulates(self) -> str | None:
        """The other architecture whose programs run inside; None if there is none, as with the host's own tools."""
        return None if self._tools is None else self._tools.emulates

    @property
    def jobs(self) -> int:
        """How many processors a program inside may use, for those that must be told."""
        usable = len(os.sched_getaffinity(0))
        return usable if self._jobs is None else min(self._jobs, usable)

    def run(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        stdin: bytes | Path | None = None,
        stdout: Path | None = None,
        timeout: float,
        root: Path | None = None,
        network: bool = False,
        check: bool = True,
        devices: Sequence[str] = (),
        fatal: tuple[str, ...] = (),
        chroot: str | None = None,
        nested: bool = False,
    ) -> Completed:
        """Runs a program to its end. `timeout` in seconds; `stdout` to a file, else captured (64 MiB at most).

        `fatal` are texts on its stderr at which it is ended and has failed, for programs that go on after an error.
        `chroot` is the target of a mount that the program enters by chroot(2): that gets a /proc, /dev, /tmp and /run
        too, and mounts that come after it may be below. `nested` leaves a program the rights to mount for itself: for
        one that makes containers, and confines what runs in them.

        With `root`, that directory is `/`, writable, instead of the tools tree. What it and a `chroot` hold may be of
        the architecture that the tools emulate. Raises ToolError when it fails
        (unless `check` is false), cannot be started, runs out of time or prints too much, and DiskFullError
        when it says so and a writable mount is indeed full; a `stdout` file is removed then.
        """
        privilege = current_privilege()
        words = self._words(
            Request(
                argv=argv,
                tools=self._tools,
                root=root,
                privilege=privilege,
                mounts=mounts,
                env=env or {},
                cwd=cwd,
                network=network,
                devices=devices,
                clock_offset_seconds=self._clock_offset_seconds,
                confined=not nested,
                chroot=chroot,
            )
        )
        with _removed_on_failure(stdout):
            with _input(stdin) as source, _output(stdout) as target:
                ended = run_to_end(words, stdin=source, stdout=target, timeout=timeout, jobs=self._jobs, fatal=fatal)
            if stopped(ended) or (check and ended.returncode != 0):
                writable = [mount.source for mount in mounts if mount.writable]
                writable += [path for path in (root, stdout.parent if stdout else None) if path is not None]
                command = pasteable(words, privilege=privilege, stdin=_kept(stdin), stdout=stdout)
                raise tool_error(argv, ended, command=command, timeout=timeout, writable=writable)
        return Completed(
            returncode=ended.returncode,
            stdout=ended.stdout,
            stderr_tail=ended.stderr_tail,
            wall_seconds=ended.wall_seconds,
            cpu_seconds=ended.cpu_seconds,
        )

    def spawn(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        devices: Sequence[str] = (),
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        pass_fds: Sequence[int] = (),
        network: bool = False,
        nested: bool = False,
    ) -> SandboxProcess:
        """Starts a program that lives on beside us (QEMU, swtpm) and dies with the thread that started it."""
        request = self._spawn_request(argv, mounts=mounts, env=env, cwd=cwd, devices=devices, network=network)
        return SandboxProcess(
            self._words(replace(request, confined=not nested)),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            jobs=self._jobs,
        )

    def command_line(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        devices: Sequence[str] = (),
        network: bool = False,
    ) -> str:
        """The line that can be pasted to do by hand what `spawn` does with these arguments."""
        request = self._spawn_request(argv, mounts=mounts, env=env, cwd=cwd, devices=devices, network=network)
        return pasteable(self._words(request), privilege=request.privilege)

    def _spawn_request(
        self,
        argv: Sequence[str],
        *,
        mounts: Sequence[Mount],
        env: Mapping[str, str] | None,
        cwd: str,
        devices: Sequence[str],
        network: bool,
    ) -> Request:
        return Request(
            argv=argv,
            tools=self._tools,
            root=None,
            privilege=current_privilege(),
            mounts=mounts,
            env=env or {},
            cwd=cwd,
            network=network,
            devices=devices,
            confined=True,
        )

    def _words(self, request: Request) -> list[str]:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise missing_bwrap()
        try:
            return [*self._emulation(request), *bwrap_arguments(request, bwrap=bwrap)]
        except FileNotFoundError as error:
            if request.clock_offset_seconds:
                raise missing_faketime() from error
            raise

    def _emulation(self, request: Request) -> tuple[str, ...]:
        """What has programs of another architecture run, where there may be some."""
        foreign = request.root is not None or request.chroot is not None
        return emulation(self._tools) if foreign and self._tools is not None else ()


@contextmanager
def _removed_on_failure(path: Path | None) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if path is not None:
            path.unlink(missing_ok=True)
        raise


@contextmanager
def _input(stdin: bytes | Path | None) -> Iterator[Stream]:
    if isinstance(stdin, Path):
        with stdin.open("rb") as file:
            yield file
    elif stdin:
        with tempfile.TemporaryFile() as file:
            with disk_full_guard(Path(tempfile.gettempdir())):
                file.write(stdin)
                file.seek(0)
            yield file
    else:
        yield subprocess.DEVNULL


@contextmanager
def _output(stdout: Path | None) -> Iterator[IO[bytes] | None]:
    if stdout is None:
        yield None
    else:
        with stdout.open("wb") as file:
            yield file


def _kept(stdin: bytes | Path | None) -> bytes | Path | None:
    """Input too long for a command line is kept in a file, so that the line can be run again."""
    if not isinstance(stdin, bytes) or len(stdin) <= _PASTED_INPUT:
        return stdin
    fd, name = tempfile.mkstemp(prefix="zaffre-stdin-")
    with os.fdopen(fd, "wb") as file, disk_full_guard(Path(name)):
        file.write(stdin)
    return Path(name)
