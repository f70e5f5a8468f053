# SPDX-License-Identifier: Apache-2.0
"""Formats of feeds: what each says, in the words of `zaffre.advisory.model`."""

from zaffre.advisory.formats.document import Document
from zaffre.advisory.formats.read import read_feed

__all__ = ["Document", "read_feed"]
