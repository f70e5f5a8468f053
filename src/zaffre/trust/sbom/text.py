# SPDX-License-Identifier: Apache-2.0
"""The text of a document, its identity and its time. Pure: equal bills give equal bytes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from zaffre.bill import Bill
from zaffre.digest import JSON, sha256_json

TOOL = "zaffre"


def document(value: Mapping[str, JSON]) -> str:
    """JSON with an entry of each list a line, as the lock has it: `diff` shows what differs."""
    return "{\n" + ",\n".join(f'"{key}": {_value(one)}' for key, one in value.items()) + "\n}\n"


def _value(value: JSON) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(_plain, value)) + "\n]"
    return _plain(value)


def _plain(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


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
