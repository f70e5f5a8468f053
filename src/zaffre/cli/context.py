# SPDX-License-Identifier: Apache-2.0
"""What a command works on, found when it is first asked for: distribution, store, keys, mirrors, progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from zaffre.digest import JSON
from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from zaffre.definition import Distribution
    from zaffre.progress import Progress
    from zaffre.store import Store
    from zaffre.trust import ArchiveCertificate, ArchiveKey, Certificates, Keys

DISTRIBUTION_FILE = "zaffre.toml"
FREE_VARIABLE = "ZAFFRE_STORE_FREE"

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to stdout.")]


class Workspace:
    """The global options and what follows from them. One for each run of the program.

    It is a context manager: what is put on `cleanup` is undone when the command ends, however it ends.
    """

    def __init__(self) -> None:
        self.distro: Path | None = None
        self.store_root: Path | None = None
        self.keys_directory: Path | None = None
        self.mirrors: tuple[str, ...] = ()
        self.quiet = False
        self.cleanup = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup.__exit__(kind, error, trace)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def find_distribution(self) -> Path | None:
        """`--distro`, else the nearest directory upwards with a zaffre.toml, else `./distro`; None if there is none."""
        if self.distro is not None:
            return self.distro
        here = Path.cwd()
        for place in (here, *here.parents, here / "distro"):
            if (place / DISTRIBUTION_FILE).is_file():
                return place
        return None

    @cached_property
    def distribution(self) -> Distribution:
        from zaffre.definition import load_distribution

        root = self.find_distribution()
        if root is None:
            raise DefinitionError(
                f"there is no distribution here: no {DISTRIBUTION_FILE} in this folder, above it or in ./distro",
                where=str(Path.cwd()),
                resolution="go to one, name one with --distro DIR, or make one with 'zaffre init DIR'",
            )
        return load_distribution(root)

    @cached_property
    def store(self) -> Store:
        """The store. What an ordinary user builds belongs to many ids, so this makes us root in a namespace first."""
        from zaffre.store import Store

        self.need_root()
        return Store(self.store_path, on_wait=self.progress.note)

    def make_room(self) -> None:
        """Keep the store from filling the disk: the least recently used goes when little is free."""
        from zaffre.cli.output import amount, parse_size

        wanted = os.environ.get(FREE_VARIABLE)
        report = self.store.make_room(None if wanted is None else parse_size(wanted, where=FREE_VARIABLE))
        if report is not None and report.freed_bytes:
            self.progress.note(
                f"made room: {amount(report.freed_bytes)} of the store, used least recently, as the disk was short"
                f" ({FREE_VARIABLE} says how much to leave free)"
            )

    @property
    def store_path(self) -> Path:
        """Where the store is or will be; asking does not make it."""
        from zaffre.store import Store

        return self.store_root or Store.default_root()

    @property
    def keys_path(self) -> Path:
        from zaffre.trust import default_directory

        return self.keys_directory or default_directory()

    @cached_property
    def keys(self) -> Keys:
        from zaffre.trust import load_keys

        return load_keys(self.keys_path, now=self.now)

    @cached_property
    def certificates(self) -> Certificates:
        """The public halves of the keys, for commands that sign nothing."""
        from zaffre.trust import load_certificates

        return load_certificates(self.keys_path)

    @cached_property
    def archive_key(self) -> ArchiveKey:
        """The key of the distribution's own repository."""
        from zaffre.trust import load_archive_key

        return load_archive_key(self.keys_path, now=self.now)

    @cached_property
    def archive_certificate(self) -> ArchiveCertificate:
        """Its public half, for commands that sign nothing."""
        from zaffre.trust import load_archive_certificate

        return load_archive_certificate(self.keys_path)

    @cached_property
    def progress(self) -> Progress:
        from zaffre.cli.progress import make_progress

        return make_progress(quiet=self.quiet)

    def need_root(self) -> None:
        """Return as root; an ordinary user's command starts anew as root of a user namespace, once."""
        if os.geteuid() == 0:
            return
        from zaffre.sandbox import become_root_in_namespace

        # HOME and XDG_* stay as they are, and so do all paths. -P: the folder we are in is no place to import from.
        become_root_in_namespace([sys.executable, "-P", "-m", "zaffre", *sys.argv[1:]])

    def emit(self, value: JSON | BaseModel, text: Callable[[], str], *, as_json: bool) -> None:
        """Print a command's result to standard output: `value` as JSON, or `text()` for people."""
        if not as_json:
            typer.echo(text())
            return
        plain = value if value is None or isinstance(value, (str, int, float, bool)) else _plain(value)
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def _plain(value: object) -> object:
    from pydantic import BaseModel

    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def workspace(context: typer.Context) -> Workspace:
    """The run's workspace, inside a command."""
    found = context.find_object(Workspace)
    if found is None:
        raise RuntimeError("the program was not started by zaffre.cli.main")
    return found
