# SPDX-License-Identifier: Apache-2.0
"""`zaffre convert`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import amount, table
from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from zaffre.cli.making import Making
    from zaffre.definition import Form
    from zaffre.digest import JSON
    from zaffre.image.forms.convert import Source
    from zaffre.manifest import FormManifest


def convert(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="IMAGE|FILE", help="An image of the definition, or a disk image in any of the forms."),
    ],
    form: Annotated[
        list[str],
        typer.Option(
            metavar="FORM", help="raw, raw.zst, qcow2, vhd, vhdx or vmdk; of an image, tar or tar.zst too. Repeatable."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="PATH", help="The file to write; a folder, if there is one or it ends in /."
        ),
    ] = "./",
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Write an image in another form: for a cloud, a hypervisor, or as an archive of its files.

    An image is built first if it isn't built. Beside each file go its checksum (.sha256) and a manifest (.json), signed
    (.json.sig) if a build of yours vouches for it. The same image gives the same bytes.

    Examples: zaffre convert server --form qcow2 --form vhd -o images/; zaffre convert disk.raw --form vmdk -o disk.vmdk
    """
    from zaffre.cli.making import Making

    require_profile(profile)
    work = workspace(context)
    making = Making(work)
    forms = _forms(form)
    file = _file(making, what)
    name = _stem(file) if file is not None else _name(making, what, forms, arch)
    if file is not None:
        _require_disk_forms(forms)
    targets = _targets(name, forms, output)
    _require_other(file, targets)
    if dry_run:
        rows: list[JSON] = [{"form": str(one), "file": str(target)} for one, target in zip(forms, targets, strict=True)]
        work.emit(
            {"dry_run": True, "from": what, "files": rows},
            lambda: "\n".join(f"would write {target}" for target in targets),
            as_json=json,
        )
        return
    done = _convert(making, what, file, list(zip(forms, targets, strict=True)), arch=arch, out=out, profile=profile)
    work.emit(
        {"from": what, "files": [{"path": str(path), **one.model_dump(mode="json")} for path, one in done]},
        lambda: table([(str(path), amount(one.size), one.sha256[:16]) for path, one in done], right=(1,)),
        as_json=json,
    )


def _convert(
    making: Making,
    what: str,
    file: Path | None,
    wanted: Sequence[tuple[Form, Path]],
    *,
    arch: str | None,
    out: Path,
    profile: str,
) -> list[tuple[Path, FormManifest]]:
    from zaffre.image.forms.convert import convert as write
    from zaffre.image.fresh import remove_leftovers

    work = making.work
    signer = work.keys.release_signer() if file is None or _has_keys(making) else None
    for folder in {target.parent for _, target in wanted}:
        remove_leftovers(folder)
    done = []
    with _source_of(making, what, file, [form for form, _ in wanted], arch=arch, out=out, profile=profile) as sources:
        for form, target in wanted:
            with work.progress.step(f"form {form}") as remark:
                manifest = write(sources[form.of_tree], form, target, signer=signer, sandbox=making.sandbox)
                remark(amount(manifest.size))
            done.append((target, manifest))
    return done


@contextmanager
def _source_of(
    making: Making, what: str, file: Path | None, forms: Sequence[Form], *, arch: str | None, out: Path, profile: str
) -> Iterator[dict[bool, Source]]:
    """What to convert: the disk (under False) and the tree (under True), as far as a form is made of it."""
    from zaffre.digest import Sha256
    from zaffre.image import Order
    from zaffre.image.forms.convert import Source, origin_of
    from zaffre.image.forms.source import raw_disk
    from zaffre.store import hash_file

    work = making.work
    if file is not None:
        origin = origin_of(file, work.keys.release_signer()) if _has_keys(making) else None
        with work.store.scratch("convert") as scratch, raw_disk(file, scratch=scratch, sandbox=making.sandbox) as raw:
            yield {False: Source(raw, hash_file(raw), origin)}
        return
    built = making.build(what, architecture=arch, profile=profile, out=out)
    found: dict[bool, Source] = {}
    if any(not form.of_tree for form in forms):
        raw = built.folder / "image.raw"
        found[False] = Source(raw, Sha256(built.manifest.artifacts["image.raw"].sha256), built.manifest)
    if any(form.of_tree for form in forms):
        order = Order(image=what, architecture=built.manifest.architecture, profile=profile, out=out)
        digest = making.builder.tree(order)
        found[True] = Source(work.store.verified(digest), digest, built.manifest)
    yield found


def _has_keys(making: Making) -> bool:
    return making.work.keys_path.is_dir()


def _forms(names: Sequence[str]) -> list[Form]:
    from zaffre.definition import Form

    known = [str(form) for form in Form]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)}", param_hint="--form")
    return [Form(name) for name in dict.fromkeys(names)]


def _file(making: Making, what: str) -> Path | None:
    """The file that is meant; None for an image. An image's name comes first: a file of that name is `./name`."""
    if "/" not in what and what in making.work.distribution.images:
        return None
    path = Path(what).expanduser()
    if path.is_file():
        return path
    if "/" in what or path.exists():
        raise DefinitionError(
            "there is no such file" if not path.exists() else "it is no file",
            where=what,
            resolution="name a disk image, or an image of the definition ('zaffre show' lists them)",
        )
    return None


def _name(making: Making, what: str, forms: Sequence[Form], arch: str | None) -> str:
    """The first part of the files' names. DefinitionError for a form that the image's kind has not got."""
    from zaffre.definition import FORMS_OF, forms_in_words

    distribution = making.work.distribution
    image = distribution.image(what)
    for form in forms:
        if form not in FORMS_OF[image.kind]:
            raise DefinitionError(
                f"'{image.name}' is a {image.kind}, which has no form {str(form)!r}",
                where="--form",
                resolution=forms_in_words(image.kind),
            )
    return f"{image.name}-{making.builder.version}-{distribution.architecture(arch)}"


def _require_disk_forms(forms: Sequence[Form]) -> None:
    for form in forms:
        if form.of_tree:
            raise DefinitionError(
                f"{form} is made of the files in an image's root, and not of a disk image",
                where="--form",
                resolution="name the image of the definition instead of a file; a disk image can be raw, raw.zst, "
                "qcow2, vhd, vhdx or vmdk",
            )


def _stem(file: Path) -> str:
    from zaffre.definition import Form

    for form in sorted(Form, key=len, reverse=True):
        if file.name.endswith(f".{form}"):
            return file.name.removesuffix(f".{form}")
    return file.stem


def _targets(name: str, forms: Sequence[Form], output: str) -> list[Path]:
    """Where each form goes: `output` itself if it can only be a file."""
    place = Path(output)
    if len(forms) == 1 and not output.endswith("/") and not place.is_dir():
        return [place]
    return [place / f"{name}.{form}" for form in forms]


def _require_other(file: Path | None, targets: Sequence[Path]) -> None:
    for target in targets:
        if file is not None and target.exists() and target.samefile(file):
            raise DefinitionError(
                "it would be written over itself", where=str(target), resolution="name another file with -o"
            )
