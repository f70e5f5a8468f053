# SPDX-License-Identifier: Apache-2.0
"""The forms that a definition asks for, beside what the build has in its folder already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zaffre.definition import Form
from zaffre.digest import Sha256
from zaffre.image.forms.disk import write_disk_form
from zaffre.image.forms.stamp import Stamp
from zaffre.image.forms.tree import write_tree_form
from zaffre.image.steps import Workshop
from zaffre.manifest import SUMS_NAME, Artifact
from zaffre.store import hash_file


def add_forms(forms: Sequence[Form], folder: Path, shop: Workshop, *, tree: Callable[[], Sha256]) -> None:
    """Write each form into `folder`, which has `image.raw` if one of them is of a disk.

    `tree` gives the blob of the archive, and is asked only for a form of that.
    """
    wanted = [form for form in dict.fromkeys(forms) if not (folder / form.file_name).exists()]
    raw = folder / Form.RAW.file_name
    stamp = Stamp(hash_file(raw), shop.epoch) if any(not form.of_tree for form in wanted) else None
    archive = shop.store.verified(tree()) if any(form.of_tree for form in wanted) else None
    for form in wanted:

        def write(form: Form = form) -> int:
            target = folder / form.file_name
            if form.of_tree and archive is not None:
                write_tree_form(form, archive, target, sandbox=shop.sandbox)
            elif stamp is not None:
                write_disk_form(form, raw, target, stamp=stamp, sandbox=shop.sandbox)
            return target.stat().st_blocks * 512

        shop.timed(f"form {form}", "the definition lists it", write)


def write_sums(folder: Path, artifacts: Mapping[str, Artifact]) -> Artifact:
    """Write the checksums of all artifacts, for sha256sum(1)."""
    text = sums_text({name: one.sha256 for name, one in artifacts.items()})
    path = folder / SUMS_NAME
    path.write_text(text, encoding="ascii")
    return Artifact(sha256=hash_file(path), size=path.stat().st_size)


def sums_text(digests: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
