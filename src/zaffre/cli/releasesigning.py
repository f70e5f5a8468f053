# SPDX-License-Identifier: Apache-2.0
"""`zaffre release sign` and `submit`: signatures that are made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.releasedesk import (
    PENDING,
    PassphraseOption,
    PendingOption,
    RootOption,
    SignersOption,
    TargetArgument,
    finish,
    open_desk,
    open_ring,
    root_path,
)
from zaffre.errors import DefinitionError

FolderArgument = Annotated[
    Path, typer.Argument(metavar="PENDING", help="The folder in which a change waits.", exists=True, file_okay=False)
]


def sign(
    context: typer.Context,
    pending: FolderArgument,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="Take a signature over this role's .bytes.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="KEY", help="Whose signature it is.")] = None,
    signature: Annotated[
        Path | None, typer.Option("--signature", metavar="FILE", help="The bare signature.", exists=True)
    ] = None,
    signers: SignersOption = None,
    passphrase: PassphraseOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it is, and sign nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Sign a change that waits, with the keys at hand, or take in a signature that another program made.

    No network and nothing else than the folder is needed: carry it to where the key is, and back. What is signed is
    told from its own bytes; with --dry-run it is only told.

    Examples: zaffre release sign release-pending --signers /media/stick; or, of another program's signature, with
    --role root --key root-2 --signature root-2.sig
    """
    from zaffre.release.describe import describe
    from zaffre.release.pending import read_pending, read_signature

    work = workspace(context)
    waiting = read_pending(pending)
    told = describe(waiting.change, str(pending))
    if dry_run:
        done: dict[str, list[str]] = {}
    elif signature is not None:
        if role is None or key is None:
            raise DefinitionError(
                "say whose signature it is, and over what", where="--signature", resolution="add --role and --key"
            )
        done = {role: [waiting.take(role, key, read_signature(signature))]}
    else:
        done = waiting.sign(open_ring(work, signers, passphrase))
    lines = [line for name, facts in told.items() for line in (name, *(f"  {fact}" for fact in facts))]
    lines += ["", *(f"{name}: signed by {', '.join(keys)}" for name, keys in done.items())]
    work.emit(
        {
            "says": {name: list(facts) for name, facts in told.items()},
            "signed": {name: list(keys) for name, keys in done.items()},
        },
        lambda: "\n".join(lines).rstrip(),
        as_json=json,
    )


def submit(
    context: typer.Context,
    target: TargetArgument,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    json: JsonOption = False,
) -> None:
    """Publish a change that waited for signatures, or go on with one that ended early.

    Example: zaffre release submit /srv/releases
    """
    from zaffre.release.pending import read_pending

    work = workspace(context)
    first = read_pending(pending).change.root
    founding = first is not None and first.signed.version == 1
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending, first=founding)
    finish(work, desk.submit(), target, root=root_path(work, signers, root), as_json=json)
