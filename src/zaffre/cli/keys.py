# SPDX-License-Identifier: Apache-2.0
"""`zaffre keys`: the owner's signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import table
from zaffre.digest import JSON
from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from datetime import datetime

    from zaffre.trust import Certificates, PublicHalf

app = typer.Typer(help="Your own signing keys: for Secure Boot, system extensions and releases.", no_args_is_help=True)


@app.command()
def init(
    context: typer.Context,
    owner: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name in the certificates. Else: the distribution's, if there is one here."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make all keys, once. Nothing is ever overwritten.

    PK, KEK and db (Secure Boot) and the key for system extensions are RSA-2048, which all firmware can check;
    the release key is ECDSA P-256. Certificates last ten years. Private keys are readable by you alone, and
    must lie neither in the distribution nor in a git work tree that would take them up.

    Examples: zaffre keys init; zaffre keys init --owner "Acme" --keys /secure/acme-keys
    """
    from zaffre.trust.generate import init_keys

    work = workspace(context)
    place = work.find_distribution()
    name = owner or (work.distribution.identity.name if place is not None else "Zaffre")
    with work.progress.step("make keys"):
        made = init_keys(work.keys_path, owner=name, now=work.now, outside=[place] if place is not None else [])
    work.emit(
        _describe_all(made.certificates, work.now),
        lambda: (
            f"{_table(made.certificates, work.now)}\n\n"
            f"Keep a copy of {made.directory} in a safe place: who loses these keys can't update the machines\n"
            "that trust them, and who copies them can sign for those machines."
        ),
        as_json=json,
    )


@app.command("list")
def list_keys(context: typer.Context, json: JsonOption = False) -> None:
    """List the keys with their fingerprints, and until when they are good.

    Example: zaffre keys list
    """
    work = workspace(context)
    found = work.certificates
    work.emit(_describe_all(found, work.now), lambda: _table(found, work.now), as_json=json)


@app.command()
def show(
    context: typer.Context,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="PK, KEK, db, verity or release.")],
    json: JsonOption = False,
) -> None:
    """Say all about one key, its public half included, which may be given away.

    Example: zaffre keys show release
    """
    from zaffre.trust import Role

    work = workspace(context)
    chosen = next((one for one in Role if one.value.lower() == role.lower()), None)
    if chosen is None:
        raise DefinitionError(f"there is no key {role!r}", resolution="one of: " + ", ".join(one.value for one in Role))
    half = work.certificates[chosen]
    value = _describe(half, work.now)
    pem = half.path.read_text("ascii")
    work.emit({**value, "pem": pem}, lambda: _details(half, work) + "\n\n" + pem.rstrip(), as_json=json)


def _state(half: PublicHalf, now: datetime) -> str:
    from zaffre.trust import EXPIRY_WARNING

    if half.expired(now):
        return "EXPIRED"
    if half.not_after is not None and half.not_after - now < EXPIRY_WARNING:
        return f"expires in {(half.not_after - now).days} days"
    return "good"


def _describe(half: PublicHalf, now: datetime) -> dict[str, JSON]:
    return {
        "role": half.role.value,
        "purpose": half.role.purpose,
        "fingerprint": half.fingerprint,
        "subject": half.certificate.subject.rfc4514_string() if half.certificate else None,
        "not_after": half.not_after.isoformat() if half.not_after else None,
        "state": _state(half, now),
        "public": str(half.path),
        "private": (half.path.parent / half.role.private_name).is_file(),
    }


def _describe_all(certificates: Certificates, now: datetime) -> JSON:
    return {
        "directory": str(certificates.directory),
        "keys": [_describe(half, now) for half in certificates.halves.values()],
    }


def _until(half: PublicHalf) -> str:
    return f"{half.not_after:%Y-%m-%d}" if half.not_after else "-"


def _table(certificates: Certificates, now: datetime) -> str:
    rows = [
        (half.role.value, half.fingerprint[:16], _until(half), _state(half, now), half.role.purpose)
        for half in certificates.halves.values()
    ]
    return f"{certificates.directory}\n\n" + table(rows, headers=("KEY", "SHA-256 BEGINS", "UNTIL", "STATE", "PURPOSE"))


def _details(half: PublicHalf, work: Workspace) -> str:
    private = half.path.parent / half.role.private_name
    rows = [
        ("key", f"{half.role.value}: {half.role.purpose}"),
        ("sha256", half.fingerprint),
        ("name", half.certificate.subject.rfc4514_string() if half.certificate else "-"),
        ("until", f"{_until(half)} ({_state(half, work.now)})"),
        ("public", str(half.path)),
        ("private", str(private) if private.is_file() else "not here"),
    ]
    return table(rows)
