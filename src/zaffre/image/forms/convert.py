# SPDX-License-Identifier: Apache-2.0
"""One form of an image as a file anywhere, with its checksum, and a manifest that says what it is.

Beside `<file>` there are `<file>.sha256` for sha256sum(1), `<file>.json` (`zaffre.manifest.FormManifest`), and
`<file>.json.sig` if a build of the owner's vouches for what was converted. The file itself appears last, and whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Form
from zaffre.digest import Sha256
from zaffre.errors import IntegrityError
from zaffre.image.forms.build import sums_text
from zaffre.image.forms.disk import write_disk_form
from zaffre.image.forms.stamp import Stamp
from zaffre.image.forms.tree import write_tree_form
from zaffre.image.fresh import partial_directory
from zaffre.image.output import ManifestSigner, read_build
from zaffre.manifest import FormManifest, Manifest
from zaffre.sandbox import Sandbox
from zaffre.store import hash_file

_NOBODYS_EPOCH = 0
_TOLD = ("image", "kind", "version", "architecture", "profile", "definition", "lock")


@dataclass(frozen=True)
class Source:
    """What is converted: a raw disk or the archive of a tree, its digest, and the build that vouches for it."""

    path: Path
    digest: Sha256
    origin: Manifest | None = None


def origin_of(path: Path, signer: ManifestSigner) -> Manifest | None:
    """The build that a file belongs to: the one whose signed manifest lies beside it and names it. None without one.

    Raises IntegrityError if the file is not the one that the manifest names.
    """
    manifest = read_build(path.parent, signer)
    if manifest is None or path.name not in manifest.artifacts:
        return None
    if hash_file(path) != manifest.artifacts[path.name].sha256:
        raise IntegrityError(
            "it is not the file that its build made",
            where=str(path),
            resolution=f"`zaffre verify {path.parent}` says more; build it anew",
        )
    return manifest


def convert(
    source: Source, form: Form, target: Path, *, signer: ManifestSigner | None, sandbox: Sandbox
) -> FormManifest:
    """Write `target` in a form, with what goes beside it. `signer` signs if the source has an origin.

    What was there under these names is replaced. Raises DefinitionError, DiskFullError, ToolError; then nothing is.
    """
    epoch = source.origin.epoch if source.origin is not None else _NOBODYS_EPOCH
    with partial_directory(target) as folder:
        made = folder / target.name
        if form.of_tree:
            write_tree_form(form, source.path, made, sandbox=sandbox)
        else:
            write_disk_form(form, source.path, made, stamp=Stamp(source.digest, epoch), sandbox=sandbox)
        manifest = FormManifest(
            form=form,
            file=target.name,
            size=made.stat().st_size,
            sha256=hash_file(made),
            made_from=source.digest,
            epoch=epoch,
            **({key: getattr(source.origin, key) for key in _TOLD} if source.origin is not None else {}),
        )
        text = manifest.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"
        beside = {".sha256": sums_text({target.name: manifest.sha256}).encode(), ".json": text}
        if source.origin is not None and signer is not None:
            beside[".json.sig"] = signer.sign_bytes(text)
        _place(made, target, beside)
    return manifest


def _place(made: Path, target: Path, beside: dict[str, bytes]) -> None:
    """A file that is there with others beside it that are not its own would be found out by them."""
    for ending, content in beside.items():
        (made.parent / f"{target.name}{ending}").write_bytes(content)
    Path(f"{target}.json.sig").unlink(missing_ok=True)
    for ending in beside:
        (made.parent / f"{target.name}{ending}").replace(f"{target}{ending}")
    made.replace(target)
