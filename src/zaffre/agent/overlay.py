# SPDX-License-Identifier: Apache-2.0
"""What the host's systemd does with extensions: says whether it would take one, lays them over, and runs the agent.

Whether an extension is signed by the owner and made for this host is judged by systemd alone, by the certificates in
the root that is verified. What lies in `/run` goes before what lies in `/var` under the same name, and is gone after a
restart: there an extension is tried before it is kept.

Sources: systemd-sysext(8) for the folders and their order, systemd.exec(5) for ExtensionImages= and the exit status
226, systemd.image-policy(7).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final, Protocol

from zaffre.agent.commands import Done, run
from zaffre.agent.files import remove, sync_folder, told_when_full
from zaffre.errors import IntegrityError, ToolError, ZaffreError
from zaffre.slots import SIGNED_ONLY

KINDS: Final = ("sysext", "confext")
PROOF: Final = "zaffre-agent-prove.service"
_TOOLS = {"sysext": "systemd-sysext", "confext": "systemd-confext"}
_FOLDERS = {"sysext": "extensions", "confext": "confexts"}
_NOT_MOUNTED = 226
_SECONDS = 120.0
_PROOF_SECONDS = 400.0


class Overlay(Protocol):
    def kept(self, kind: str) -> Path:
        """The folder of extensions that are laid over in each boot."""
        ...

    def passing(self, kind: str) -> Path:
        """The folder of those that are, until the next restart, under the same names instead."""
        ...

    def require_fit(self, extension: Path) -> None:
        """Raises IntegrityError for an extension that the host refuses, ToolError when that cannot be found out."""
        ...

    def merge(self, kind: str) -> None:
        """Lay over what is in the folders by now. Raises ToolError; what was laid over stays then."""
        ...

    def merged(self, kind: str) -> frozenset[str]:
        """The names of those that are laid over. Raises ToolError."""
        ...

    def prove(self) -> None:
        """Have the agent that is laid over look whether it could do its work here. Raises ToolError if not."""
        ...


class Systemd:
    """`root` is where the host's files are."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def kept(self, kind: str) -> Path:
        return self._root / "var/lib" / _FOLDERS[kind]

    def passing(self, kind: str) -> Path:
        return self._root / "run" / _FOLDERS[kind]

    def require_fit(self, extension: Path) -> None:
        done = run(
            *("systemd-run", "--quiet", "--wait", "--collect"),
            *(f"--property=ExtensionImages={extension}", f"--property=ExtensionImagePolicy={SIGNED_ONLY}", "true"),
            seconds=_SECONDS,
        )
        if done.code == _NOT_MOUNTED:
            raise IntegrityError(
                "the host refuses the extension: it is not signed by a key of this host, or made for another system",
                where=str(extension),
                resolution="the publisher must seal it with the verity key of this host, and build it for its version",
            )
        done.require("whether the host takes the extension cannot be found out")

    def merge(self, kind: str) -> None:
        """By their own services, whose image policies count; and since this program may see mounts of its own."""
        unit = f"{_TOOLS[kind]}.service"
        run("systemctl", "reload-or-restart", unit, seconds=_SECONDS).require("extensions cannot be laid over the host")
        if kind == "confext":
            done = run("systemctl", "try-reload-or-restart", "systemd-networkd.service", seconds=_SECONDS)
            done.require("the network does not take its configuration anew")

    def merged(self, kind: str) -> frozenset[str]:
        """Asked beside this program, which may see mounts of its own."""
        tool = _TOOLS[kind]
        words = ("systemd-run", "--quiet", "--wait", "--collect", "--pipe", tool, "--json=short", "status")
        done = run(*words, seconds=_SECONDS).require(f"{tool} does not say what is laid over")
        return frozenset(name for _, name in laid_over(done))

    def prove(self) -> None:
        run("systemctl", "start", PROOF, seconds=_PROOF_SECONDS).require("the agent could not do its work any more")


def laid_over(done: Done) -> list[tuple[str, str]]:
    """Hierarchies and names, by what `status` says in JSON. Of a hierarchy that has none, `extensions` is a word and no
    list.
    """
    try:
        return [
            (str(one["hierarchy"]), str(name))
            for one in json.loads(done.out or "[]")
            for name in (one["extensions"] if isinstance(one["extensions"], list) else ())
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise ToolError(
            "what is merged cannot be read", command=done.command, returncode=done.code, details=done.out[:200]
        ) from error


def lay_passing(overlay: Overlay, kind: str, name: str, extension: Path) -> None:
    """Have an extension tried in the place of the one that is kept under its name."""
    folder = overlay.passing(kind)
    folder.mkdir(parents=True, exist_ok=True)
    take_passing(overlay, kind, name)
    (folder / f"{name}.raw").symlink_to(extension)


def take_passing(overlay: Overlay, kind: str, name: str) -> bool:
    """End that. Whether there was one of ours; what somebody else lays there is no link, and stays."""
    path = overlay.passing(kind) / f"{name}.raw"
    if not path.is_symlink():
        return False
    path.unlink()
    return True


def keep(overlay: Overlay, kind: str, name: str, data: Path) -> None:
    """Have a file kept under that name from now on: it is the old one or the new one, whole."""
    folder = overlay.kept(kind)
    beside = folder / f"{name}.raw.new"
    try:
        with told_when_full(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with data.open("rb") as source, beside.open("wb") as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(folder / f"{name}.raw")
            sync_folder(folder)
    except (OSError, ZaffreError):
        beside.unlink(missing_ok=True)
        raise


def forget(overlay: Overlay, kind: str, name: str) -> None:
    remove(overlay.kept(kind) / f"{name}.raw")
