# SPDX-License-Identifier: Apache-2.0
"""A root started as a systemd container, as WSL starts one: systemd is process 1 of namespaces of its own.

By util-linux alone. The kernel's settings and devices are read-only or absent, so that nothing reaches the host.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_DROPPED = "-sys_module,-sys_time,-sys_boot,-sys_rawio,-mknod,-syslog,-audit_control,-audit_write"

# $1: the root; $2: a folder for the control groups' file system; $3: our group in it.
_OUTER = """
set -eu
mount -t cgroup2 none "$2"
mkdir "$2/$3"
echo $$ >"$2/$3/cgroup.procs"
exec unshare --cgroup --pid --fork --kill-child --ipc --uts --net --mount --propagation private sh -c "$4" inner "$1"
"""
_INNER = """
set -eu
root="$1"
hostname wsl-test
ip link set lo up 2>/dev/null || true
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
cd "$root"
pivot_root . .
umount -l .
exec setpriv --bounding-set {dropped} env -i container=wsl TERM=dumb LANG=C.UTF-8 /sbin/init
""".replace("{dropped}", _DROPPED)


@dataclass
class Container:
    """A running one. `pid` is its process 1, seen from outside."""

    pid: int
    log: Path

    def run(self, *argv: str, stdin: str | None = None, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program inside, as root, to its end."""
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
             "env", "-C", "/", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", *argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )  # fmt: skip

    def settled(self, seconds: float) -> str:
        """What `systemctl is-system-running` says once it is no longer starting, as WSL waits for it."""
        deadline = time.monotonic() + seconds
        state = ""
        while time.monotonic() < deadline:
            state = self.run("systemctl", "is-system-running").stdout.strip()
            if state not in {"", "offline", "initializing", "starting"}:
                break
            time.sleep(0.5)
        return state


@contextmanager
def started(root: Path) -> Iterator[Container]:
    """The root as a container that ends with the block. Needs to be root."""
    group = f"zaffre-test-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="zaffre-cgroup-") as folder, (root.parent / "init.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                _OUTER,
                "outer",
                root,
                folder,
                group,
                _INNER,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            place = root.parent / "init.log"
            yield Container(_first_child(process, place), place)
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            _remove_group(folder, group)


def _first_child(process: subprocess.Popen[bytes], log: Path) -> int:
    """The child that is process 1 of a namespace of its own, and systemd: it is there once the set-up is done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            with suppress(OSError):
                status = Path(f"/proc/{child}/status").read_text()
                if "Name:\tsystemd\n" in status and status.partition("NSpid:")[2].splitlines()[0].split()[-1] == "1":
                    return int(child)
        time.sleep(0.05)
    raise RuntimeError(f"the container did not start: {log.read_text(errors='replace')[-2000:]}")


def _remove_group(folder: str, group: str) -> None:
    """Of the control groups, which are the host's, ours goes, with those that systemd made below it."""
    script = 'mount -t cgroup2 none "$1" && find "$1/$2" -depth -type d -exec rmdir {} +'
    for _ in range(20):
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "remove", folder, group], capture_output=True, check=False
        )
        if done.returncode == 0:
            return
        time.sleep(0.25)
