# SPDX-License-Identifier: Apache-2.0
"""What the host's systemd does with extensions: says whether it would take one, lays them over, and runs the agent.

Whether an extension is signed by the owner and made for this host is judged by systemd alone, by the certificates in
the root that is verified. What lies in `/run` goes before what lies in `/var` under the same name, and is gone after a
restart: there an extension is tried before it is kept.

What has to be done beside this program, which may see mounts of its own, is done by units that come with it. Where
SELinux is enforced, whoever may have the system manager run any other command may do whatever it may.

Sources: systemd-sysext(8) for the folders and their order, systemd.exec(5) for ExtensionImages= and the exit status
226, systemd.image-policy(7).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from zaffre.agent.commands import Done, run
from zaffre.agent.files import remove, sync_folder, told_when_full
from zaffre.errors import DefinitionError, IntegrityError, ToolError, ZaffreError

KINDS: Final = ("sysext", "confext")
TRYING: Final = "/var/lib/zaffre/agent/extensions/{name}/trying/{name}.raw"
"""Where an extension on trial is to lie: the units below look there."""
PROOF: Final = "zaffre-agent-prove.service"
_FIT = "zaffre-agent-fit@{name}.service"
_MERGED = "zaffre-agent-merged@{kind}.service"
_SAID = "run/zaffre-agent-merged.{kind}"
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
        if str(extension) != TRYING.format(name=extension.stem):
            raise DefinitionError(
                "an extension can be tried only where the agent's units look for it",
                where=str(extension),
                resolution=f"have it remember things where it does by itself: {TRYING.format(name='NAME')}",
            )
        unit = _FIT.format(name=extension.stem)
        done = run("systemctl", "start", unit, seconds=_SECONDS)
        if done.code and _status(unit) == _NOT_MOUNTED:
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
        done = run("systemctl", "start", _MERGED.format(kind=kind), seconds=_SECONDS)
        done.require(f"{_TOOLS[kind]} does not say what is laid over")
        try:
            said = self._root.joinpath(_SAID.format(kind=kind)).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ToolError(
                "what is merged cannot be read", command=done.command, returncode=done.code, details=str(error)
            ) from error
        return frozenset(name for _, name in laid_over(replace(done, out=said)))

    def prove(self) -> None:
        run("systemctl", "start", PROOF, seconds=_PROOF_SECONDS).require("the agent could not do its work any more")


def _status(unit: str) -> int | None:
    """What a unit that has failed ended with; it no longer counts as failed."""
    done = run("systemctl", "show", "--property=ExecMainStatus", "--value", unit, seconds=_SECONDS)
    run("systemctl", "reset-failed", unit, seconds=_SECONDS)
    return int(done.out) if done.out.strip().isdigit() else None


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
