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

    from zaffre.trust import ArchiveCertificate, Certificates, PublicHalf

app = typer.Typer(
    help="Your own signing keys: for Secure Boot, system extensions, releases and your repository.",
    no_args_is_help=True,
)


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
    the release key is ECDSA P-256; the PCR key, for an encrypted /var, is RSA-2048; the repository key is Ed25519, with
    an OpenPGP certificate for apt. Certificates last ten years. Private keys are readable by you alone, and
    must lie neither in the distribution nor in a git work tree that would take them up.

    Examples: zaffre keys init; zaffre keys init --owner "Acme" --keys /secure/acme-keys
    """
    from zaffre.trust.generate import init_keys

    work = workspace(context)
    place = work.find_distribution()
    name = owner or (work.distribution.identity.name if place is not None else "Zaffre")
    with work.progress.step("make keys"):
        init_keys(work.keys_path, owner=name, now=work.now, outside=[place] if place is not None else [])
    _emit_all(work, as_json=json, more=_KEEP.format(directory=work.keys_path))


@app.command()
def add(
    context: typer.Context,
    owner: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name in the certificate. Else: the distribution's, if there is one here."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the keys that are missing since this folder is older than they are: repository key, PCR key.

    The other keys stay as they are, and nothing is overwritten.

    Example: zaffre keys add
    """
    from zaffre.trust.generate import add_keys

    work = workspace(context)
    name = owner or (work.distribution.identity.name if work.find_distribution() is not None else "Zaffre")
    with work.progress.step("make the keys that are missing"):
        add_keys(work.keys_path, owner=name, now=work.now)
    _emit_all(work, as_json=json, more=_KEEP.format(directory=work.keys_path))


@app.command("list")
def list_keys(context: typer.Context, json: JsonOption = False) -> None:
    """List the keys with their fingerprints, and until when they are good.

    Example: zaffre keys list
    """
    work = workspace(context)
    from zaffre.trust import Role

    missing = [] if _archive(work) else ["repository"]
    missing += [] if Role.PCR in work.certificates.halves else ["PCR"]
    more = "".join(
        f"\n\nThere is no {name} key yet, as these keys are older: 'zaffre keys add' makes it" for name in missing
    )
    _emit_all(work, as_json=json, more=more)


@app.command()
def show(
    context: typer.Context,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="PK, KEK, db, verity, release, pcr or repository.")],
    json: JsonOption = False,
) -> None:
    """Say all about one key, its public half included, which may be given away.

    Example: zaffre keys show release
    """
    from zaffre.trust import Role
    from zaffre.trust.archive import NAME

    work = workspace(context)
    if role.lower() == NAME:
        archive = work.archive_certificate
        value = {**_describe_archive(archive, work.now), "pem": archive.armoured}
        work.emit(value, lambda: f"{_archive_details(archive, work)}\n\n{archive.armoured.rstrip()}", as_json=json)
        return
    chosen = next((one for one in Role if one.value.lower() == role.lower()), None)
    if chosen is None:
        names = ", ".join([*(one.value for one in Role), NAME])
        raise DefinitionError(f"there is no key {role!r}", resolution=f"one of: {names}")
    half = work.certificates[chosen]
    value = _describe(half, work.now)
    pem = half.path.read_text("ascii")
    work.emit({**value, "pem": pem}, lambda: _details(half, work) + "\n\n" + pem.rstrip(), as_json=json)


_KEEP = """

Keep a copy of {directory} in a safe place: who loses these keys can't update the machines
that trust them, and who copies them can sign for those machines."""


def _archive(work: Workspace) -> ArchiveCertificate | None:
    """The repository key's public half; None in a folder that is older than such keys."""
    from zaffre.trust import has_archive_key

    return work.archive_certificate if has_archive_key(work.keys_path) else None


def _emit_all(work: Workspace, *, as_json: bool, more: str) -> None:
    found, archive = work.certificates, _archive(work)
    described = [_describe(half, work.now) for half in found.halves.values()]
    described += [_describe_archive(archive, work.now)] if archive else []
    work.emit(
        {"directory": str(found.directory), "keys": described},
        lambda: _table(found, archive, work.now) + more,
        as_json=as_json,
    )


def _state(half: PublicHalf | ArchiveCertificate, now: datetime) -> str:
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


def _describe_archive(archive: ArchiveCertificate, now: datetime) -> dict[str, JSON]:
    from zaffre.trust.archive import NAME, PRIVATE_NAME, PURPOSE

    return {
        "role": NAME,
        "purpose": PURPOSE,
        "fingerprint": archive.fingerprint,
        "subject": archive.owner,
        "not_after": archive.not_after.isoformat() if archive.not_after else None,
        "state": _state(archive, now),
        "public": str(archive.path),
        "private": (archive.path.parent / PRIVATE_NAME).is_file(),
    }


def _until(half: PublicHalf | ArchiveCertificate) -> str:
    return f"{half.not_after:%Y-%m-%d}" if half.not_after else "-"


def _table(certificates: Certificates, archive: ArchiveCertificate | None, now: datetime) -> str:
    from zaffre.trust.archive import NAME, PURPOSE

    rows = [
        (half.role.value, half.fingerprint[:16], _until(half), _state(half, now), half.role.purpose)
        for half in certificates.halves.values()
    ]
    if archive is not None:
        rows.append((NAME, archive.fingerprint[:16], _until(archive), _state(archive, now), PURPOSE))
    headers = ("KEY", "FINGERPRINT BEGINS", "UNTIL", "STATE", "PURPOSE")
    return f"{certificates.directory}\n\n" + table(rows, headers=headers)


def _archive_details(archive: ArchiveCertificate, work: Workspace) -> str:
    from zaffre.trust.archive import NAME, PRIVATE_NAME, PURPOSE

    private = archive.path.parent / PRIVATE_NAME
    rows = [
        ("key", f"{NAME}: {PURPOSE}"),
        ("openpgp", archive.fingerprint),
        ("name", archive.owner),
        ("until", f"{_until(archive)} ({_state(archive, work.now)})"),
        ("public", str(archive.path)),
        ("private", str(private) if private.is_file() else "not here"),
    ]
    return table(rows)


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
