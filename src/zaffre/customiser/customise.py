# SPDX-License-Identifier: Apache-2.0
"""From an image and its changes to a new image: each kind of image by those who know it."""

from __future__ import annotations

from pathlib import Path

from zaffre.customiser.bench import Bench, Order
from zaffre.customiser.report import Report
from zaffre.customiser.sealed import customise_sealed
from zaffre.customiser.source import Form, read_source
from zaffre.customiser.writable import customise_writable
from zaffre.errors import DefinitionError


def customise(image: Path, order: Order, bench: Bench) -> Report:
    """Write the changed image to `order.out`, a directory that appears whole or not at all; `image` is only read.

    The same image, changes, keys and time give the same bits. Raises DefinitionError for an image or a change that
    can't be taken, IntegrityError for an image that is damaged.
    """
    source = read_source(image)
    if order.out.exists() and not order.dry_run:
        raise DefinitionError(
            "there is something of that name already",
            where=str(order.out),
            resolution="name a directory that is not there",
        )
    if source.form is Form.SEALED:
        return customise_sealed(source, order, bench)
    return customise_writable(source, order, bench)
