# SPDX-License-Identifier: Apache-2.0
"""A build that is over the budget of its attack surface is refused, as far as its inventory tells."""

from __future__ import annotations

from pathlib import Path

from zaffre.definition import Image
from zaffre.errors import FindingError
from zaffre.surface.facts import facts_of
from zaffre.surface.report import SurfaceReport, excess_in_words, judged
from zaffre.tree.inventory import Inventory

_INVENTORY = "inventory.json"


def require_within_budget(image: Image, folder: Path) -> None:
    """Raise FindingError if what was put into `folder`, the artifacts of a build, is over the image's budget.

    What an inventory does not tell (programs' hardening, services' exposure, the kernel) is for `zaffre surface`.
    """
    if not image.surface.model_dump(exclude_none=True):
        return
    inventory = Inventory.model_validate_json((folder / _INVENTORY).read_bytes())
    report = judged(SurfaceReport(title=image.name, facts=facts_of(inventory)), image.surface)
    if report.excess:
        raise FindingError(
            "the image is over the budget of its attack surface",
            where=f"images/{image.name}.toml: surface.{report.excess[0].what}",
            details="\n".join(excess_in_words(one) for one in report.excess),
            resolution="take out what is too much, or allow more in [surface]; `zaffre surface "
            f"{image.name}` shows all that counts",
        )
