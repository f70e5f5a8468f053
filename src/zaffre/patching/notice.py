# SPDX-License-Identifier: Apache-2.0
"""The advisory of a patch, written and signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from zaffre.advisory.patch import Behind
from zaffre.advisory.writing import ImageFact, Notice, csaf_text, osv_text
from zaffre.patching.bench import Bench
from zaffre.patching.report import PatchReport
from zaffre.store import write_atomic


def notice_of(bench: Bench, report: PatchReport) -> Notice:
    """What the patch mended, of all images and architectures of the lock."""
    distribution = bench.distribution
    gone = frozenset(report.proof.gone if report.proof else ())
    behind = tuple(one for each in report.plan.behind if (one := _mended(each, gone)) is not None)
    pairs = sorted({(one.image, one.architecture) for one in report.changes})
    version = distribution.identity.version
    first = distribution.upstreams[distribution.defaults.upstream]
    ecosystem = next((one.ecosystem for one in behind if one.ecosystem), first.ecosystem or first.name)
    repository = distribution.repository
    return Notice(
        id=f"{distribution.identity.id.upper()}-SA-{report.lock}",
        publisher=distribution.identity.name,
        namespace=repository.url if repository else f"urn:zaffre:{distribution.identity.id}",
        at=report.at,
        kind=first.family,
        vendor=ecosystem.partition(":")[0].replace(" ", "").lower(),
        behind=behind,
        images=tuple(
            ImageFact(
                name=name,
                architecture=architecture,
                old=f"{version}.{report.old_lock}",
                new=f"{version}.{report.lock}",
                packages=tuple(
                    (one.package, one.old, one.new)
                    for one in report.changes
                    if (one.image, one.architecture) == (name, architecture)
                ),
            )
            for name, architecture in pairs
        ),
    )


def _mended(one: Behind, gone: frozenset[str]) -> Behind | None:
    names = tuple(name for name in one.vulnerabilities if name in gone)
    return one.model_copy(update={"vulnerabilities": names}) if names else None


def write_notice(notice: Notice, folder: Path, sign: Callable[[bytes], bytes]) -> tuple[str, ...]:
    """Write the advisory as OSV and as CSAF, each with a signature in the file's name with `.sig`; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for form, text in (("osv", osv_text(notice)), ("csaf", csaf_text(notice))):
        path = folder / f"{notice.id.lower()}.{form}.json"
        data = text.encode()
        write_atomic(path.with_name(f"{path.name}.sig"), sign(data), directory=folder)
        write_atomic(path, data, directory=folder)
        paths.append(str(path))
    return tuple(paths)


def file_notice(paths: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Move an advisory, with its signatures, to where advisories are published from; its paths there."""
    found = []
    for path in map(Path, paths):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (f"{path.name}.sig", path.name):
            path.with_name(name).replace(folder / name)
        found.append(str(folder / path.name))
    return tuple(found)
