# SPDX-License-Identifier: Apache-2.0
"""`zaffre customize` and `zaffre sign`: ready images, changed without a distribution of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import count, table

if TYPE_CHECKING:
    from zaffre.customiser.report import Injected, Report
    from zaffre.sandbox import Sandbox

_MOST_PATHS = 20

sign_app = typer.Typer(help="Signatures that are made elsewhere.", no_args_is_help=True)

NewOption = Annotated[
    Path, typer.Option("-o", "--output", metavar="NEW", help="The directory to make; it must not be there.")
]


def customize(
    context: typer.Context,
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE-FILE", help="A raw disk image: of Zaffre, or with one ext4 root.")
    ],
    changes: Annotated[Path, typer.Option("--with", metavar="FILE", help="What is to change (TOML).")],
    output: NewOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; write nothing.")] = False,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Sign nothing here: write down what is to be signed elsewhere.")
    ] = False,
    time: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="SOURCE_DATE_EPOCH of what is new. Else: the time of the image.", min=0),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Change a ready image: files, users, units, kernel settings and command line, host name, packages, sizes.

    The image is only read, never booted or mounted. A sealed one is verified first, then sealed anew and signed with
    your keys. The same image, changes, keys and time give the same bits. Needs no distribution: the tools are those of
    the one that is here, else of the reference distribution.

    Example: zaffre customize image.raw --with changes.toml -o web-image
    """
    from zaffre.cli.making import signing_keys
    from zaffre.customiser.bench import Bench, Order
    from zaffre.customiser.changes import ChangesFile
    from zaffre.customiser.customise import customise

    work = workspace(context)
    order = Order(ChangesFile(changes), output, epoch=time, dry_run=dry_run)
    keys = None if unsigned or dry_run else work.keys
    bench = Bench(
        store=work.store,
        sandbox=_tools(work),
        progress=work.progress,
        keys=signing_keys(keys) if keys else None,
        signer=keys.release_signer() if keys else None,
    )
    report = customise(image, order, bench)
    work.emit(report, lambda: "\n\n".join(_words(report)), as_json=json)


@sign_app.command()
def inject(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `zaffre customize` made with --unsigned.")],
    signed: Annotated[Path, typer.Option(metavar="DIR", help="The signed files, under the names of to-sign/.")],
    certificate: Annotated[
        Path, typer.Option(metavar="FILE", help="The certificate (PEM) that must have signed them.")
    ],
    output: NewOption,
    json: JsonOption = False,
) -> None:
    """Put an image together with signatures that were made elsewhere.

    Each file must be the one that was given away, but for its signature, and the certificate must have signed it: exit
    code 1 if not. The manifest is signed with your release key, if it is here; else the command for it is said.

    Example: zaffre sign inject web-unsigned --signed signed --certificate db.crt -o web-image
    """
    from zaffre.customiser.waiting import inject as put_together

    work = workspace(context)
    signer = work.keys.release_signer() if work.keys_path.is_dir() else None
    done = put_together(folder, signed, certificate, output, store=work.store, sandbox=_tools(work), signer=signer)
    work.emit(done, lambda: "\n".join(_injected(done)), as_json=json)


def _tools(work: Workspace) -> Sandbox:
    """The tools of the distribution that is here, or else of the reference distribution."""
    from zaffre.cli.tools import tools_sandbox
    from zaffre.definition import reference
    from zaffre.upstream import load_lock

    if work.find_distribution() is None:
        work.distro = work.cleanup.enter_context(reference())
    return tools_sandbox(work, load_lock(work.distribution.lock_file))


def _words(report: Report) -> Iterator[str]:
    from zaffre.cli.differing import detail_words

    yield f"{report.image}: {report.form}, {report.architecture or 'unknown architecture'}"
    if report.signatures:
        rows = [(f"  {one.path}", ", ".join(one.signers) or "nobody") for one in report.signatures]
        yield f"It came signed by:\n{table(rows)}"
    if report.details is not None:
        yield from detail_words(report.details, _MOST_PATHS)
    if report.grown:
        yield "Sizes:\n" + "\n".join(f"  {one}" for one in report.grown)
    if report.same:
        yield "Nothing changes."
    if report.to_sign:
        files = [(f"  to-sign/{one.file}", one.path, one.authenticode) for one in report.to_sign]
        yield f"{report.directory}: {count(len(files), 'file')} to sign, as SIGN.txt says:\n{table(files)}"
    elif report.directory is not None:
        yield f"{report.directory}: made"
    else:
        yield "Nothing was written (--dry-run)."


def _injected(done: Injected) -> Iterator[str]:
    for one in done.signatures:
        yield f"{one.path}: signed by {done.certificate}"
    yield f"{done.directory}: made"
    if done.manifest_command:
        yield f"The manifest is not signed. In {done.directory}: {done.manifest_command}"
