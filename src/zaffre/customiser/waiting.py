# SPDX-License-Identifier: Apache-2.0
"""An image that waits for signatures made elsewhere: what is written down for the signer, and taken back from him.

The folder has `to-sign/` with the files that the firmware starts, `waiting/` with all else of the image, and SIGN.txt,
which says how. Nothing in it is secret. What comes back must be, bit for bit but for its signature, what was given
away, and be signed by the certificate that is named: both are looked at before the image is put together.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography import x509
from pydantic import ValidationError

from zaffre.authenticode import Signed
from zaffre.customiser.assembly import HASHES, INVENTORY, KERNEL, ROOT, Assembly, assemble, finish
from zaffre.customiser.report import Injected, Signature, ToSign
from zaffre.digest import sha256_file
from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.image.fresh import fresh_directory
from zaffre.image.output import ManifestSigner
from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME
from zaffre.pe import text_sections
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Stopwatch, Store

TO_SIGN, WAITING, ASSEMBLY, INSTRUCTIONS = "to-sign", "waiting", "assembly.json", "SIGN.txt"

_LOADER = "boot-loader.efi"
_ESP = "esp"
_MAX_ASSEMBLY = 64 << 20
_SECONDS = 120.0
_RELEASE_COMMAND = (
    f"openssl dgst -sha256 -sign release.key {MANIFEST_NAME} | base64 -w 0 >{SIGNATURE_NAME}; echo >>{SIGNATURE_NAME}"
)

_TEXT = """\
This image is sealed, and waits for {count} signatures for Secure Boot (Authenticode, SHA-256).

Sign each file below {folder}/ with the key that your machines trust, by one of:

{commands}

A signature is over this digest of the file (Authenticode, SHA-256), which a signing service may ask for:

{digests}

Then put the image together, which refuses a file that is not the one that was given away, and one that
another certificate signed:

    zaffre sign inject THIS-FOLDER --signed FOLDER-OF-THE-SIGNED-FILES --certificate db.crt -o NEW

Beyond these files nothing needs a signature: the hash of the root is in the kernel image's command line.
"""


def emit(assembly: Assembly, folder: Path, *, kernel: Path, loader: Path, esp: Path) -> tuple[ToSign, ...]:
    """Lay out `folder`, which has root, hash tree and inventory. Returns what is to be signed."""
    for name in (TO_SIGN, WAITING):
        (folder / name).mkdir()
    to_sign = tuple(
        _given(folder, source, name, path)
        for source, name, path in ((kernel, KERNEL, assembly.kernel), (loader, _LOADER, assembly.loader))
    )
    for name in (ROOT, HASHES, INVENTORY):
        (folder / name).rename(folder / WAITING / name)
    shutil.copytree(esp, folder / WAITING / _ESP)
    files = {
        path.relative_to(folder / WAITING).as_posix(): str(sha256_file(path))
        for path in sorted((folder / WAITING).rglob("*"))
        if path.is_file()
    }
    waiting = assembly.model_copy(update={"to_sign": to_sign, "files": files})
    (folder / ASSEMBLY).write_text(waiting.model_dump_json(indent=1) + "\n")
    (folder / INSTRUCTIONS).write_text(_instructions(to_sign))
    return to_sign


def inject(
    folder: Path,
    signed: Path,
    certificate: Path,
    out: Path,
    *,
    store: Store,
    sandbox: Sandbox,
    signer: ManifestSigner | None,
) -> Injected:
    """Put a waiting image together with the signed files in the directory `signed`.

    Raises FindingError for a file that is not what was given away or that `certificate` (PEM) did not sign,
    IntegrityError where the waiting folder was changed, DefinitionError for what is missing.
    """
    watch = Stopwatch()
    assembly = _read(folder)
    subject = _subject(certificate)
    for one in assembly.to_sign:
        _require_signed(one, signed / one.file, certificate, sandbox)
    _require_root(assembly, signed / KERNEL)
    with store.scratch("inject") as scratch, fresh_directory(out) as made:
        for name in (ROOT, HASHES, INVENTORY):
            shutil.copyfile(folder / WAITING / name, made / name)
        shutil.copyfile(signed / KERNEL, made / KERNEL)
        esp = folder / WAITING / _ESP
        assemble(
            assembly,
            made,
            esp=esp,
            loader=signed / _LOADER,
            certificate=certificate,
            scratch=scratch,
            sandbox=sandbox,
        )
        finish(assembly, made, signer, watch, kind="host")
    return Injected(
        directory=str(out),
        signatures=tuple(
            Signature(
                path=one.path,
                signers=tuple(who.subject.rfc4514_string() for who in Signed(signed / one.file).signers),
            )
            for one in assembly.to_sign
        ),
        certificate=subject,
        manifest_signed=signer is not None,
        manifest_command=None if signer is not None else _RELEASE_COMMAND,
    )


def _given(folder: Path, source: Path, name: str, path: str) -> ToSign:
    target = folder / TO_SIGN / name
    shutil.copyfile(source, target)
    return ToSign(
        file=name,
        path=path,
        authenticode=Signed(target).digest,
        command=f"sbsign --key db.key --cert db.crt --output signed/{name} {TO_SIGN}/{name}",
    )


def _instructions(to_sign: tuple[ToSign, ...]) -> str:
    other = (
        f"    osslsigncode sign -h sha256 -certs db.crt -key db.key -in {TO_SIGN}/{one.file} -out signed/{one.file}"
        for one in to_sign
    )
    commands = ["    mkdir signed", *(f"    {one.command}" for one in to_sign), "", *other]
    return _TEXT.format(
        count=len(to_sign),
        folder=TO_SIGN,
        commands="\n".join(commands),
        digests="\n".join(f"    {one.authenticode}  {TO_SIGN}/{one.file}" for one in to_sign),
    )


def _read(folder: Path) -> Assembly:
    """The assembly of a waiting folder, all of whose files are as they were written."""
    try:
        with (folder / ASSEMBLY).open("rb") as file:
            data = file.read(_MAX_ASSEMBLY)
    except FileNotFoundError as error:
        raise DefinitionError(
            f"there is no {ASSEMBLY} here, so nothing waits for signatures",
            where=str(folder),
            resolution="name the folder that `zaffre customize --unsigned` made",
        ) from error
    try:
        assembly = Assembly.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(
            f"{ASSEMBLY} is not one that this program wrote", where=str(folder), details=str(error.errors()[0]["msg"])
        ) from error
    found = {
        path.relative_to(folder / WAITING).as_posix(): path
        for path in sorted((folder / WAITING).rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }
    changed = [
        name
        for name in sorted(found.keys() | assembly.files.keys())
        if name not in found
        or found[name].is_symlink()
        or not found[name].is_file()
        or sha256_file(found[name]) != assembly.files.get(name)
    ]
    if changed:
        raise IntegrityError(
            f"what waits for its signatures was changed: {', '.join(changed)}",
            where=str(folder / WAITING),
            resolution="customise the image again",
        )
    return assembly


def _require_root(assembly: Assembly, kernel: Path) -> None:
    for line in text_sections(kernel, ".cmdline"):
        if f"roothash={assembly.root_hash}" not in line.split():
            raise FindingError(
                "the signed kernel image is for another root",
                where=str(kernel),
                details=f"it says: {line}",
                resolution="customise the image again",
            )


def _require_signed(wanted: ToSign, path: Path, certificate: Path, sandbox: Sandbox) -> None:
    if not path.is_file():
        raise DefinitionError(
            f"there is no signed {wanted.file}",
            where=str(path),
            resolution="name the folder that has all files of to-sign/, signed, under the same names",
        )
    file = Signed(path)
    if file.digest != wanted.authenticode:
        raise FindingError(
            "the file is not the one that was given away to be signed",
            where=str(path),
            details=f"its Authenticode digest is {file.digest}, that of {TO_SIGN}/{wanted.file} {wanted.authenticode}",
            resolution=f"sign {TO_SIGN}/{wanted.file}",
        )
    if not file.signatures:
        raise FindingError("the file has no signature", where=str(path), resolution=f"sign it: {wanted.command}")
    done = sandbox.run(
        ["sbverify", "--cert", "/job/certificate", "/job/file.efi"],
        mounts=[Mount(certificate.resolve(), "/job/certificate"), Mount(path.resolve(), "/job/file.efi")],
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        who = ", ".join(one.subject.rfc4514_string() for one in file.signers)
        raise FindingError(
            f"the file is not signed by {certificate.name}",
            where=str(path),
            details=f"it carries a signature of: {who}",
            resolution="sign it with the key of that certificate, or name the certificate that your machines trust",
        )


def _subject(certificate: Path) -> str:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).subject.rfc4514_string()
    except FileNotFoundError as error:
        raise DefinitionError("there is no such certificate", where=str(certificate)) from error
    except ValueError as error:
        raise DefinitionError(
            "the file is not an X.509 certificate in PEM form", where=str(certificate), details=str(error)
        ) from error
