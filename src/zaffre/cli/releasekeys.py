# SPDX-License-Identifier: Apache-2.0
"""`zaffre release keys`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import table
from zaffre.cli.releasedesk import (
    CHANNELS,
    PENDING,
    PassphraseOption,
    PendingOption,
    RootOption,
    SignersOption,
    TargetArgument,
    finish,
    folders,
    open_desk,
    open_ring,
    published,
    root_path,
    secrets_from,
)
from zaffre.errors import ExitCode

app = typer.Typer(help="The keys that sign releases.", no_args_is_help=True)


@app.command()
def init(
    context: typer.Context,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", metavar="NAME", help="A channel that gets a key. Repeatable. Else: dev, stable."),
    ] = None,
    roots: Annotated[int, typer.Option("--roots", metavar="N", min=1, max=20, help="How many root keys.")] = 3,
    signers: SignersOption = None,
    passphrase: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Make all keys of a new repository of releases, each encrypted with its passphrase.

    Then move root-1, root-2 and so on to media that lie offline, each at another place: a root key on the machine that
    publishes protects from nothing.

    Example: zaffre release keys init --channel dev --channel stable
    """
    names = [
        *(f"root-{number}" for number in range(1, roots + 1)),
        "targets",
        "snapshot",
        "timestamp",
        *(channel or CHANNELS),
    ]
    _make(context, names, signers, passphrase, as_json=json)


@app.command()
def new(
    context: typer.Context,
    name: Annotated[list[str], typer.Argument(metavar="NAME", help="How the key is called.")],
    signers: SignersOption = None,
    passphrase: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Make one key more, for instance on the stick of its holder. Give its .pub to who rotates.

    Example: zaffre release keys new root-4 --signers /media/stick
    """
    _make(context, name, signers, passphrase, as_json=json)


@app.command()
def token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="How the key is called.")],
    uri: Annotated[str, typer.Argument(metavar="URI", help="Which key it is: a PKCS #11 URI with module-path.")],
    signers: SignersOption = None,
    passphrase: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Use a key of a PKCS #11 token: its public half is read, the private one never leaves the token.

    The key is on the curve P-256 or P-384, and was made by the token's own program. Whatever signs with it later asks
    for the token's PIN, or takes it from --passphrase-file.

    Example: zaffre release keys token stable 'pkcs11:token=Acme;object=stable?module-path=/usr/lib/libpkcs11.so'
    """
    from zaffre.release.keys import name_token_key

    work = workspace(context)
    folder = folders(work, signers)[0]
    _place_for_keys(work, folder)
    made = name_token_key(folder, name, uri, secrets_from(passphrase))
    work.emit(
        {"name": made.name, "keyid": made.key.keyid, "scheme": made.key.scheme},
        lambda: f"{made.name}  {made.key.keyid[:16]}  {made.key.scheme}\n{folder}",
        as_json=json,
    )


@app.command("list")
def list_keys(context: typer.Context, signers: SignersOption = None, json: JsonOption = False) -> None:
    """List the keys at hand: their names, their ids, and what signs with them.

    Example: zaffre release keys list --signers /media/stick
    """
    work = workspace(context)
    ring = open_ring(work, signers, None)
    found = sorted(ring.files.values(), key=lambda one: one.name)
    work.emit(
        {
            "keys": [
                {"name": one.name, "keyid": one.key.keyid, "scheme": one.key.scheme, "signs": one.signs is not None}
                for one in found
            ]
        },
        lambda: table(
            [
                (one.name, one.key.keyid[:16], one.key.scheme, one.signs.name if one.signs else "somebody else has it")
                for one in found
            ],
            headers=("KEY", "ID BEGINS", "KIND", "SIGNS BY"),
        ),
        as_json=json,
    )


@app.command()
def rotate(
    context: typer.Context,
    target: TargetArgument,
    role: Annotated[
        list[str], typer.Argument(metavar="ROLE...", help="root, targets, snapshot, timestamp, or a channel.")
    ],
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="KEY", help="A key that goes, by name or id. Repeatable.")
    ] = None,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="KEY", help="A key of the folders that comes. Repeatable.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option("--threshold", metavar="N", min=1, help="How many of them must sign.")
    ] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Give roles other keys: make them with 'zaffre release keys new', then name what comes and what goes.

    Several roles at once are for who has lost a whole machine; new keys are then named after their role.

    Nodes follow at their next look, however many rotations they have missed. Rotating snapshot and timestamp also takes
    back a future that somebody has signed with stolen keys.

    Example: zaffre release keys rotate /srv/releases root --remove root-2 --add root-4
    """
    from zaffre.release.change import Change
    from zaffre.release.rotate import rotate as rotated
    from zaffre.release.rotate import turns_by_name
    from zaffre.release.state import State

    work = workspace(context)
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)
    fresh = [desk.ring.named(name) for name in add or []]

    def make(state: State) -> Change:
        return rotated(state, turns_by_name(state, role, remove or [], fresh, threshold), now=work.now)

    outcome = desk.carry_out(make, dry_run=dry_run)
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json)


@app.command()
def rehearse(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="TARGET|URL", help="A folder, s3://bucket/folder, or the URL that nodes use.")
    ],
    lose: Annotated[
        list[str] | None, typer.Option("--lose", metavar="KEY", help="Do as if this key were lost. Repeatable.")
    ] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Try every key, and what you could still do without some of them. Nothing is published.

    The keys at hand sign a sentence that is no metadata; the rotations are played through in a scratch folder with
    throw-away keys, and a node that follows. Bring the sticks with the root keys. Exit code 1 if a role could not get
    other keys, or a key does not open.

    Example: zaffre release keys rehearse /srv/releases --signers DIR --signers /media/stick --lose root-1 --lose stable
    """
    from zaffre.release.rehearse import rehearse as play

    work = workspace(context)
    state = published(work, target, signers, root)
    with work.progress.step("rehearse"):
        acts = play(state, open_ring(work, signers, passphrase), lose or [], now=work.now)
    good = all(act.ok is not False for act in acts)
    marks = {True: "ok", False: "NO", None: "-"}
    verdict = "every role can get other keys" if good else "see what is marked NO: with these keys it can't be done"
    work.emit(
        {"ok": good, "acts": [{"name": act.name, "ok": act.ok, "detail": act.detail} for act in acts]},
        lambda: table([(marks[act.ok], act.name, act.detail) for act in acts]) + f"\n\n{target}: {verdict}",
        as_json=json,
    )
    if not good:
        raise typer.Exit(ExitCode.FINDING)


def _make(
    context: typer.Context, names: list[str], signers: list[Path] | None, passphrase: Path | None, *, as_json: bool
) -> None:
    from zaffre.release.keys import make_key

    work = workspace(context)
    folder = folders(work, signers)[0]
    _place_for_keys(work, folder)
    secret = secrets_from(passphrase)
    made = [make_key(folder, name, secret(f"new passphrase of {name}")) for name in names]
    work.emit(
        {"folder": str(folder), "keys": [{"name": one.name, "keyid": one.key.keyid} for one in made]},
        lambda: "\n".join([table([(one.name, one.key.keyid[:16]) for one in made]), str(folder)]),
        as_json=as_json,
    )


def _place_for_keys(work: Workspace, folder: Path) -> None:
    """A folder where keys are not published by accident."""
    from zaffre.release.keys import make_folder
    from zaffre.trust.generate import refuse_published

    distribution = work.find_distribution()
    refuse_published(folder.absolute(), [distribution] if distribution is not None else [])
    make_folder(folder)
