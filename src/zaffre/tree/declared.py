# SPDX-License-Identifier: Apache-2.0
"""What locked packages say of themselves, for a bill of materials: their licences, and the system that they make.

Of a Debian package, this is in its files; of an RPM, in its header. Each package is asked once in a store's life.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from zaffre.bill import BillLicence, BillSystem
from zaffre.digest import JSON, source_digest
from zaffre.progress import Progress
from zaffre.store import Action, ActionResult, Store
from zaffre.tree.said import Said
from zaffre.upstream.lock import LockedPackage

SYSTEM_PACKAGE = "base-files"
"""Who brings os-release, in a distribution of Debian packages."""
_MOST_LINKS = 4


@dataclass(frozen=True)
class Declared:
    """`licences` has every package, by its key; `system` is what os-release says, if one of them brings it."""

    licences: Mapping[tuple[str, str], BillLicence]
    system: BillSystem | None


def declared(
    packages: Sequence[LockedPackage],
    *,
    ask: Callable[[LockedPackage, Store], Said],
    store: Store,
    progress: Progress,
    label: str,
) -> Declared:
    """Of packages that are in the store, by asking each once. Raises what `ask` does."""
    action = Action(
        kind="declared",
        label=label,
        inputs={"packages": {f"{one.name}:{one.architecture}": one.sha256 for one in packages}, "code": _code()},
        reason="a bill of materials tells licences",
    )

    def produce(_: Path) -> ActionResult:
        with progress.step(f"licences of {len(packages)} packages"):
            said = {f"{one.name}:{one.architecture}": _one(one, ask, store) for one in packages}
        return ActionResult({}, {"said": said})

    said = cast("Mapping[str, Mapping[str, Any]]", store.perform(action, produce).result.facts["said"])
    names = {one.name: said[f"{one.name}:{one.architecture}"] for one in packages}
    systems = [one["system"] for one in said.values() if one["system"] is not None]
    return Declared(
        {one.key: _licence(said[f"{one.name}:{one.architecture}"], names) for one in packages},
        BillSystem(**systems[0]) if systems else None,
    )


def _licence(one: Mapping[str, Any], names: Mapping[str, Mapping[str, Any]]) -> BillLicence:
    """A package's own, or that of the package to which its documentation leads."""
    for _ in range(_MOST_LINKS):
        if one["beside"] not in names:
            break
        one = names[one["beside"]]
    return BillLicence(one["expression"], tuple((reference, name) for reference, name in one["references"]))


def _one(package: LockedPackage, ask: Callable[[LockedPackage, Store], Said], store: Store) -> JSON:
    action = Action(
        kind="declared-one",
        label=f"declared {package.name}",
        inputs={"package": package.sha256, "code": _code()},
        reason="what a package says of itself",
    )

    def produce(_: Path) -> ActionResult:
        found = ask(package, store)
        said: JSON = {
            "expression": found.licence.expression,
            "references": [list(one) for one in found.licence.references],
            "beside": found.beside,
            "system": None if found.system is None else asdict(found.system),
        }
        return ActionResult({}, {"said": said})

    return store.perform(action, produce).result.facts["said"]


def _code() -> str:
    return source_digest("tree")
