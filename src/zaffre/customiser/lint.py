# SPDX-License-Identifier: Apache-2.0
"""`zaffre lint`: a disk, of a build or of a machine that is off, held against the contract of updates in place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from zaffre.customiser.source import Form, Source, has_erofs, read_source
from zaffre.customiser.unpack import KERNELS, copy_esp, cut, erofs_facts, extract_files
from zaffre.errors import DefinitionError
from zaffre.image.contract import (
    LOADER,
    Breach,
    loader_breaches,
    slot_breaches,
    tree_breaches,
    variable_breaches,
)
from zaffre.sandbox import Sandbox


class LintLine(BaseModel):
    """One breach: `where` is a file of the image, a place on its disk, or a variable of the firmware."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    where: str
    found: str
    wanted: str


class LintReport(BaseModel):
    """As `zaffre lint --json` prints it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str
    ok: bool
    breaches: tuple[LintLine, ...]


def lint_disk(path: Path, scratch: Path, *, sandbox: Sandbox, variables: Path | None = None) -> LintReport:
    """Look at a raw disk image; `scratch` takes what is read of it. Nothing is written to the image.

    `variables`: a folder with the variables of the firmware that starts it, as efivarfs has them.
    Raises DefinitionError for an image that has no slots, and a folder without variables; IntegrityError for an image
    that is damaged.
    """
    source = read_source(path)
    if source.form is not Form.SEALED:
        raise DefinitionError(
            "the image's root is writable: it has no slots, and its package manager updates it",
            where=str(path),
            resolution="take the image of an immutable host",
        )
    of_firmware = tuple(variable_breaches(variables)) if variables else ()
    copy_esp(source, scratch / "esp", sandbox=sandbox)
    found = tuple(chain(_of_disk(source, scratch / "esp"), of_firmware, _of_roots(source, scratch, sandbox)))
    lines = tuple(LintLine(rule=one.rule, where=one.where, found=one.found, wanted=one.wanted) for one in found)
    return LintReport(image=str(path), ok=not lines, breaches=lines)


def _of_disk(source: Source, esp: Path) -> Iterator[Breach]:
    loader = esp / LOADER
    if loader.is_file():
        yield from loader_breaches(loader.read_text(encoding="utf-8", errors="replace"))
    kernels = [one.stat().st_size for one in (esp / KERNELS).glob("*.efi")]
    yield from slot_breaches(
        [one.size for one in source.root],
        [one.size for one in source.verity],
        esp=source.esp.size if source.esp else 0,
        kernel=max(kernels, default=0),
    )


def _of_roots(source: Source, scratch: Path, sandbox: Sandbox) -> Iterator[Breach]:
    """Of each slot that has a file system: which of them boots next is the boot loader's to say."""
    for number, slot in enumerate(one for one in source.root if has_erofs(source.path, one)):
        erofs, root = scratch / f"root-{number}.erofs", scratch / f"root-{number}"
        cut(source.path, slot.offset, erofs_facts(source.path, slot).size, erofs)
        extract_files(erofs, root, sandbox=sandbox)
        yield from tree_breaches(root)
