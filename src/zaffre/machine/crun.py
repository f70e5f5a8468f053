# SPDX-License-Identifier: Apache-2.0
"""A container image run by crun of the tools tree, as it ships: its layers unpacked, its configuration obeyed.

Source of the format: the OCI runtime specification 1.0, config.md. The container has file systems of its own, and the
sandbox's processes and network: nothing else is in there with it. It is there to try an image, not to hold a stranger.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from zaffre.digest import JSON
from zaffre.errors import DefinitionError
from zaffre.oci import ContainerImage, unpacking
from zaffre.sandbox import Completed, Mount, Sandbox
from zaffre.store import Store

BUNDLE = "/run/bundle"
PROBES = "/run/zaffre"

_UNPACK_SECONDS = 300.0
# What Docker and Podman leave to a container's root.
_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
)
# crun asks which control groups there are, though it is told to make none: an empty tmpfs is an answer everywhere.
_START = 'mount -t tmpfs tmpfs /sys; mkdir -p /sys/fs/cgroup; exec "$@"'
_BOUND = ["rbind", "rprivate"]
_MOUNTS = (
    {"destination": "/proc", "type": "bind", "source": "/proc", "options": _BOUND},
    {"destination": "/dev", "type": "bind", "source": "/dev", "options": _BOUND},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},  # noqa: S108 - inside
)


@dataclass(frozen=True)
class User:
    """Who a process runs as. `name` is "" for a number that has none."""

    uid: int
    gid: int
    name: str
    home: str


@dataclass(frozen=True)
class Bundle:
    """An unpacked image. `rootfs` is a copy, which a run may change."""

    image: ContainerImage
    folder: Path
    sandbox: Sandbox

    @property
    def rootfs(self) -> Path:
        return self.folder / "rootfs"

    @property
    def user(self) -> User:
        """The image's own. Raises DefinitionError for a name that its files don't know."""
        return user_of(self.rootfs, str(self._config.get("User") or ""))

    def command(self, words: Sequence[str]) -> list[str]:
        """What is run for these words: the image's entry point before them; its own command when there are none.

        Raises DefinitionError where nothing at all says what to run.
        """
        first = [str(one) for one in self._config.get("Entrypoint") or ()]
        rest = list(words) or [str(one) for one in self._config.get("Cmd") or ()]
        if not first and not rest:
            raise DefinitionError(
                "the image names no command",
                where="container.command",
                resolution="say what to run: `zaffre run IMAGE -- PROGRAM ARGUMENT...`",
            )
        return [*first, *rest]

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        user: User | None = None,
        env: Mapping[str, str] | None = None,
        network: bool = False,
        probes: Sequence[str] = (),
    ) -> Completed:
        """Run a program in it to its end, whatever its exit code. It sees a network only with `network`: the host's.

        `probes` are paths of programs of the tools tree that are to be found below `PROBES` in it.
        """
        self._configure(argv, user or self.user, env or {}, probes)
        return self.sandbox.run(
            self._words, mounts=self._mounts, timeout=timeout, network=network, check=False, nested=True
        )

    def attach(self, argv: Sequence[str], *, network: bool, interactive: bool) -> int:
        """Run a program in it with this process's own streams; its exit code."""
        self._configure(argv, self.user, {}, ())
        with self.sandbox.spawn(
            self._words,
            mounts=self._mounts,
            network=network,
            nested=True,
            stdin=None if interactive else DEVNULL,
        ) as process:
            return process.wait()

    @property
    def _config(self) -> Mapping[str, Any]:
        found = self.image.config.get("config")
        return found if isinstance(found, dict) else {}

    @property
    def _words(self) -> list[str]:
        words = ["crun", "--root=/run/crun", "--cgroup-manager=disabled", "run", f"--bundle={BUNDLE}", "zaffre"]
        return ["/bin/sh", "-euc", _START, "sh", *words]

    @property
    def _mounts(self) -> list[Mount]:
        return [Mount(self.folder, BUNDLE, writable=True)]

    def _configure(self, argv: Sequence[str], user: User, env: Mapping[str, str], probes: Sequence[str]) -> None:
        names = {"HOME": user.home, **dict(_variable(one) for one in self._config.get("Env") or ()), **env}
        capabilities = list(_CAPABILITIES) if user.uid == 0 else []
        value = {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": user.uid, "gid": user.gid},
                "args": list(argv),
                "env": [f"{name}={text}" for name, text in names.items()],
                "cwd": str(self._config.get("WorkingDir") or "/"),
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs"},
            "hostname": "zaffre",
            "mounts": [*_MOUNTS, *map(_probe, probes)],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]},
        }
        (self.folder / "config.json").write_text(json.dumps(value))


@contextmanager
def unpacked(layout: Path, image: ContainerImage, *, store: Store, sandbox: Sandbox) -> Iterator[Bundle]:
    """The image's files, until the block ends. They came by `read_layout`, so their digests hold."""
    with store.scratch("container") as folder:
        (folder / "rootfs").mkdir(mode=0o755)
        for layer in image.layers:
            sandbox.run(
                unpacking(layer.media_type, "/run/layer", f"{BUNDLE}/rootfs"),
                mounts=[Mount(layout / layer.path, "/run/layer"), Mount(folder, BUNDLE, writable=True)],
                timeout=_UNPACK_SECONDS,
            )
        yield Bundle(image, folder, sandbox)


def user_of(rootfs: Path, text: str) -> User:
    """Who `text` ("user", "uid", "user:group" or "uid:gid", config.md) is by the files of an image; "" is root.

    Raises DefinitionError for a name that is not there.
    """
    who, _, group = (text or "0").partition(":")
    rows = _rows(rootfs / "etc/passwd", 7)
    row = next((row for row in rows if who in {row[0], row[2]}), None)
    if row is None and not who.isdecimal():
        raise DefinitionError(f"the image has no user {who!r}", where="container.user")
    gid = group or (row[3] if row else "0")
    if not gid.isdecimal():
        found = next((one[2] for one in _rows(rootfs / "etc/group", 4) if one[0] == gid), None)
        if found is None:
            raise DefinitionError(f"the image has no group {gid!r}", where="container.user")
        gid = found
    return User(int(row[2] if row else who), int(gid), row[0] if row else "", row[5] if row else "/")


def _rows(path: Path, fields: int) -> list[list[str]]:
    if path.is_symlink() or not path.is_file():
        return []
    rows = [line.split(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [row for row in rows if len(row) == fields]


def _probe(path: str) -> dict[str, JSON]:
    target = f"{PROBES}/{path.rpartition('/')[2]}"
    return {"destination": target, "type": "bind", "source": path, "options": ["bind", "ro"]}


def _variable(text: object) -> tuple[str, str]:
    name, _, value = str(text).partition("=")
    return name, value
