# SPDX-License-Identifier: Apache-2.0
"""The text of a document, its identity and its time. Pure: equal bills give equal bytes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from zaffre.bill import Bill
from zaffre.digest import JSON, sha256_json

TOOL = "zaffre"

_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False)


class Lines(list[str]):
    """Entries of a list that are JSON already: of thousands, each is written as soon as it is known."""


def line(value: JSON) -> str:
    """An entry of `Lines`."""
    return _ENCODER.encode(value)


def document(value: Mapping[str, JSON | Lines]) -> str:
    """JSON with an entry of each list a line, as the lock has it: `diff` shows what differs."""
    return "{\n" + ",\n".join(f'"{key}": {_value(one)}' for key, one in value.items()) + "\n}\n"


def _value(value: JSON | Lines) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(value if isinstance(value, Lines) else map(line, value)) + "\n]"
    return line(value)


@lru_cache(maxsize=16)
def moment(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def identity(bill: Bill, form: str) -> uuid.UUID:
    """One for each content: what a bill is made from decides all that is in it."""
    made_from: list[JSON] = [
        form,
        [bill.name, bill.kind, bill.version, bill.architecture, bill.profile, bill.epoch],
        [bill.definition, bill.lock, bill.tools],
        [[one.sha256, one.licence.expression] for one in bill.packages],
        [[one.path, one.sha256] for one in bill.files],
        [[one.name, one.sha256] for one in bill.artifacts],
    ]
    return uuid.uuid5(uuid.NAMESPACE_OID, sha256_json(made_from))
