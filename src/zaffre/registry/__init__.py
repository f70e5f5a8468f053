# SPDX-License-Identifier: Apache-2.0
"""Container images go to a registry: one for each architecture, an index above them, the tag last. See `push`."""

from zaffre.registry.attach import Paper
from zaffre.registry.index import join_layouts
from zaffre.registry.push import Push, Pushed, push
from zaffre.registry.reference import Reference, parse_reference

__all__ = ["Paper", "Push", "Pushed", "Reference", "join_layouts", "parse_reference", "push"]
