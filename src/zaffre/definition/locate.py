# SPDX-License-Identifier: Apache-2.0
"""Faults that show only while an image is made, placed in the files of its definition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from zaffre.definition.distribution import Distribution
from zaffre.definition.image import Image
from zaffre.definition.values import dotted
from zaffre.errors import DefinitionError


@contextmanager
def located(distribution: Distribution, image_name: str) -> Iterator[None]:
    """A DefinitionError from within the block says in which file its key stands; one without a key, which image.

    Those who make an image know the key of the merged definition alone: `kernel.modules[40]` may be
    `kernel.modules[12]` of a profile.
    """
    try:
        yield
    except DefinitionError as error:
        error.where = place_of(distribution, image_name, error.where)
        raise


def place_of(distribution: Distribution, image_name: str, where: str | None) -> str:
    """`file: key` of a key path of the merged image. What is no key path of an image is returned as it is."""
    origins = distribution.provenance[image_name]
    own = origins[()].file
    if where is None:
        return own
    if re.split(r"[.\[]", where)[0] not in Image.model_fields:
        return where
    for path, origin in origins.items():
        if dotted(path) == where:
            return f"{origin.file}: {dotted(origin.key)}"
    return f"{own}: {where}"  # no file says it
