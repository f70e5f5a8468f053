# SPDX-License-Identifier: Apache-2.0
"""A distribution of one's own: the part of the reference distribution that its container host needs.

There is no second copy to keep right: a wheel carries the repository's `distro/`, packed, in this package,
and an editable install reads `distro/` itself.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from zaffre.definition.component import Component
from zaffre.definition.distribution import DISTRIBUTION_FILE, Distribution, Identity
from zaffre.definition.loader import load_distribution
from zaffre.definition.problems import problems_of, raise_problems
from zaffre.errors import DefinitionError

STARTER_IMAGES = ("container-host", "check")


def reference_root() -> Path:
    """Where the reference distribution is in a source tree, and so for an editable install."""
    return Path(__file__).parents[3] / "distro"


@contextmanager
def reference() -> Iterator[Path]:
    """The reference distribution: packed beside this module in a wheel, otherwise `distro/` itself."""
    packed = Path(__file__).with_name("template.tar")
    if not packed.exists():
        yield reference_root()
        return
    with tempfile.TemporaryDirectory(prefix="zaffre-template-") as scratch, tarfile.open(packed) as tar:
        # Our own file; the filter is missing from early patch releases of Python 3.11.
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        tar.extractall(scratch)  # noqa: S202 - our own file
        yield Path(scratch)


def init_distribution(
    directory: Path,
    *,
    id: str,  # noqa: A002 - the field's own word
    name: str,
    also: Sequence[str] = (),
) -> list[Path]:
    """Write a small distribution called `name` that builds as it is; return its files, relative to `directory`.

    `also` names further images of the reference distribution that it is to have.

    The directory appears whole or not at all. DefinitionError if it exists and is not empty, or if `id` or
    `name` cannot be those of a distribution.
    """
    identity = {"id": id, "name": name, "version": "1"}
    try:
        Identity.model_validate(identity)
    except ValidationError as error:
        raise_problems(problems_of(error, Identity, identity, "zaffre init"), "zaffre init")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DefinitionError(
            "this directory is there already and not empty",
            where=str(directory),
            resolution="name a directory that does not exist",
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (
        reference() as root,
        tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch,
    ):
        template = load_distribution(root)
        whole = Path(scratch, "distribution")
        for image in also:
            template.image(image)
        for file in files_of(template, tuple(dict.fromkeys((*STARTER_IMAGES, *also)))):
            _copy(template.root / file, whole / file)
        main = whole / DISTRIBUTION_FILE
        main.write_text(_renamed(main.read_text("utf-8"), identity), "utf-8")
        load_distribution(whole)
        whole.rename(directory)
    return sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_symlink() or path.is_file())


def files_of(distribution: Distribution, images: Sequence[str]) -> list[str]:
    """The files and directories that images (and the tools tree) are defined by, relative to the distribution."""
    found = [DISTRIBUTION_FILE]
    derived = (distribution.upstream_of(distribution.image(name)) for name in images)
    for upstream in (distribution.upstream(), distribution.tools_upstream, *derived):
        found += [f"upstreams/{upstream.name}.toml", f"upstreams/{upstream.keyring}"]
    for name in images:
        image = distribution.image(name)
        found += distribution.lineage[name]
        found += [*image.files.trees, *([image.initrd.tree] if image.initrd.tree else []), *image.selinux.files]
    wanted = {package for name in images for package in _requested(distribution, name)}
    found += [one.folder for one in distribution.components.values() if _may_be_wanted(one, wanted)]
    return list(dict.fromkeys(found))


def _requested(distribution: Distribution, name: str) -> set[str]:
    image = distribution.image(name)
    machines = distribution.upstream_of(image).architectures
    return {package for machine in machines for package in image.requested_packages(machine)}


def _may_be_wanted(component: Component, packages: set[str]) -> bool:
    """Whether images that ask for these packages may take one of the component's; its source may have to tell."""
    told = component.told_packages()
    return not component.inherited if told is None else not told.isdisjoint(packages)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=shutil.copy, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def _renamed(text: str, identity: dict[str, str]) -> str:
    """`zaffre.toml` with another identity: its comments and package lists stay, the reference's URLs go.

    With them goes its repository, which is not the new distribution's.
    """
    text = re.sub(r"(?ms)(?:^#[^\n]*\n)*^\[repository\]\n.*?(?=^\n(?:#[^\n]*\n)*\[|\Z)", "", text)
    before, table, rest = re.split(r"(?m)^(\[distribution\]\n)", text, maxsplit=1)
    others = re.split(r"(?m)^(?=\[)", rest, maxsplit=1)[1:]
    spdx = "".join(line for line in before.splitlines(keepends=True) if "SPDX" in line)
    lines = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in identity.items())
    title = f"# {identity['name']}. `zaffre schema` describes every key.\n\n"
    return spdx + title + table + lines + "\n" + "".join(others)
