# SPDX-License-Identifier: Apache-2.0
"""What the commands of `zaffre release` share: options, keys, secrets, and how the outcome of a change is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import Workspace
from zaffre.cli.output import amount, count
from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from zaffre.digest import JSON
    from zaffre.release.desk import Desk, Outcome
    from zaffre.release.keys import Ring, Secrets
    from zaffre.release.kinds import Found, Seal
    from zaffre.release.state import State

ROOT_NAME = "root.json"

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="A folder, or s3://bucket/folder.")]
ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", help="A channel of the repository.")]
SignersOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--signers",
        metavar="DIR",
        help="A folder of keys that sign releases. Repeatable. Else: zaffre/release-keys in your data directory.",
        envvar="ZAFFRE_RELEASE_KEYS",
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="FILE", help="The root that you trust. Else: root.json in the folder of keys."),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Its first line opens every key. Else: you are asked.",
        envvar="ZAFFRE_RELEASE_PASSPHRASE_FILE",
    ),
]
PendingOption = Annotated[
    Path, typer.Option("--pending", metavar="DIR", help="Where a change waits for keys that are elsewhere.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
ImageOption = Annotated[str | None, typer.Option("--image", metavar="NAME", help="If several are published.")]
ArchitectureOption = Annotated[str | None, typer.Option("--arch", metavar="NAME", help="If several are published.")]

PENDING = Path("release-pending")
CHANNELS = ("dev", "stable")


def folders(work: Workspace, signers: Sequence[Path] | None) -> list[Path]:
    return list(signers or []) or [work.keys_path.parent / "release-keys"]


def secrets_from(file: Path | None) -> Secrets:
    """Passphrases from a file, or from who sits there; asked for once for each key."""
    if file is not None:
        from zaffre.trust.files import read_bounded, require_private

        if file.is_file():
            require_private(file, wanted=0o600)
        line = read_bounded(file).decode("utf-8", "replace").split("\n", 1)[0]
        return lambda _: line

    def ask(what: str) -> str:
        if not sys.stdin.isatty():
            raise DefinitionError(
                f"nobody is there to give the {what}",
                resolution="name a file that has it with --passphrase-file, closed to others",
            )
        answer: str = typer.prompt(what, hide_input=True, err=True)
        return answer

    return ask


def open_ring(work: Workspace, signers: Sequence[Path] | None, passphrase: Path | None) -> Ring:
    from zaffre.release.keys import Ring

    return Ring(folders(work, signers), secrets_from(passphrase))


def root_path(work: Workspace, signers: Sequence[Path] | None, root: Path | None) -> Path:
    return root or folders(work, signers)[0] / ROOT_NAME


def read_root(work: Workspace, signers: Sequence[Path] | None, root: Path | None) -> bytes:
    """Raises DefinitionError where there is none."""
    from zaffre.trust.files import read_bounded

    path = root_path(work, signers, root)
    if not path.is_file():
        raise DefinitionError(
            "there is no root of trust here",
            where=str(path),
            resolution="name the one that you got with the images by --root; 'zaffre release init' writes the first",
        )
    return read_bounded(path)


def open_desk(
    work: Workspace,
    target: str,
    *,
    signers: Sequence[Path] | None,
    root: Path | None,
    passphrase: Path | None,
    pending: Path,
    first: bool = False,
) -> Desk:
    from zaffre.place.target import open_target
    from zaffre.release.desk import Desk

    trusted = b"" if first else read_root(work, signers, root)
    ring = open_ring(work, signers, passphrase)
    seen = 0 if first else _seen(root_path(work, signers, root))
    return Desk(open_target(target), trusted, ring, pending, work.now, work.progress, seen)


def _seen_path(root: Path) -> Path:
    """Beside the root of trust: the number of the state that was published last from here."""
    return root.with_name(f"{root.name}.seen")


def _seen(root: Path) -> int:
    path = _seen_path(root)
    text = path.read_text("ascii", "replace").strip() if path.is_file() else "0"
    if not text.isdecimal():
        raise DefinitionError("the file does not have the number of a state", where=str(path), resolution="remove it")
    return int(text)


def seal_of(work: Workspace) -> Seal:
    """Looks at an extension with the distribution's locked tools, which are had when there is one to look at."""

    def look(extension: Path) -> Found:
        from zaffre.cli.making import Making
        from zaffre.trust.extension import check_seal
        from zaffre.trust.inspector import Inspector

        return check_seal(extension, Inspector(extension.parent, work.certificates, Making(work).sandbox))

    return look


def published(work: Workspace, target: str, signers: Sequence[Path] | None, root: Path | None) -> State:
    """What is published, verified, to be looked at."""
    from zaffre.place.target import open_readable
    from zaffre.release.state import load_state

    return load_state(open_readable(target), read_root(work, signers, root))


def keep_root(outcome: Outcome, root: Path | None) -> None:
    """After a change was published: the newest root, and the number of the state that it made."""
    from zaffre.store import write_atomic

    if outcome.done is not None and root is not None:
        write_atomic(root, outcome.done.root, directory=root.parent)
        seen = _seen_path(root)
        write_atomic(seen, f"{outcome.done.version}\n".encode(), directory=seen.parent)


def finish(work: Workspace, outcome: Outcome, where: str, *, root: Path | None, as_json: bool, more: str = "") -> None:
    """Say what became of a change; keep the newest root in `root`."""
    keep_root(outcome, root)
    work.emit(_fields(outcome), lambda: _words(outcome, where) + more, as_json=as_json)


def _fields(outcome: Outcome) -> dict[str, JSON]:
    return {
        "title": outcome.title,
        "dry_run": outcome.dry_run,
        "files": outcome.files,
        "bytes": outcome.bytes,
        "published": outcome.done is not None,
        "version": outcome.done.version if outcome.done else None,
        "pending": str(outcome.pending) if outcome.pending else None,
        "missing": [
            {"role": one.role, "count": one.count, "keys": [key.keyid for key in one.keys]} for one in outcome.missing
        ],
    }


def _words(outcome: Outcome, where: str) -> str:
    verb = "would bring" if outcome.dry_run else "brought"
    lines = [outcome.title]
    if outcome.files:
        lines.append(f"{verb} {count(outcome.files, 'file')}, {amount(outcome.bytes)}")
    if outcome.missing:
        lines += [f"signatures missing: {one.words}" for one in outcome.missing]
    if outcome.pending is not None:
        lines += [
            f"nothing is published yet; it waits in {outcome.pending}",
            f"who has a key runs 'zaffre release sign {outcome.pending}'; then 'zaffre release submit {where}'",
        ]
    if outcome.done is not None:
        lines.append(f"published: state {outcome.done.version} of {where}")
    elif outcome.dry_run:
        lines.append(f"{where}: nothing was done")
    return "\n".join(lines)


def parse_time(text: str | None, now: datetime, where: str) -> datetime:
    """A time in ISO 8601 with its zone. None: now. Raises DefinitionError."""
    from datetime import UTC, datetime

    if text is None:
        return now
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise DefinitionError(str(error), where=where, resolution="write it like 2026-12-01T02:00Z") from error
    if found.tzinfo is None:
        raise DefinitionError("the time has no zone", where=where, resolution="write it like 2026-12-01T02:00Z")
    return found.astimezone(UTC)
