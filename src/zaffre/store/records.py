# SPDX-License-Identifier: Apache-2.0
"""Results of actions under their keys, and the last inputs under a label. Small JSON files, written atomically.

A record carries the digest of its own text, so one that a power loss truncated or zeroed is no record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from zaffre.digest import JSON, Sha256, canonical_json, sha256_bytes, sha256_json
from zaffre.store.action import Action, ActionKey, ActionResult
from zaffre.store.errors import disk_full_guard
from zaffre.store.files import write_atomic
from zaffre.store.layout import Layout, mark_used
from zaffre.store.session import Sessions

_FORMAT = 1


class Records:
    def __init__(self, layout: Layout, sessions: Sessions) -> None:
        self._layout = layout
        self._sessions = sessions

    def read(self, key: ActionKey) -> ActionResult | None:
        """The recorded result; whether its outputs still exist is the caller's question."""
        path = self._layout.action(key)
        self._sessions.directory()
        with self._layout.using():
            mark_used(path)
            return parse_record(path, key)

    def write(self, key: ActionKey, action: Action, result: ActionResult) -> None:
        content: dict[str, JSON] = {
            "format": _FORMAT,
            "key": key,
            "kind": action.kind,
            "label": action.label,
            "inputs": action.inputs,
            "reason": action.reason,
            "outputs": dict(result.outputs),
            "facts": result.facts,
        }
        self._write(self._layout.action(key), content)

    def remember(self, label: str, inputs: Mapping[str, JSON]) -> None:
        self._write(self._history(label), {"label": label, "inputs": inputs})

    def recall(self, label: str) -> Mapping[str, JSON] | None:
        content = _read(self._history(label))
        inputs = content.get("inputs") if content and content.get("label") == label else None
        return inputs if _is_object(inputs) else None

    def _history(self, label: str) -> Path:
        return self._layout.root / "history" / f"{sha256_bytes(label.encode())}.json"

    def _write(self, path: Path, content: dict[str, JSON]) -> None:
        text = canonical_json({**content, "sha256": sha256_json(content)})
        with disk_full_guard(path), self._layout.using():
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, text, directory=self._sessions.directory())


def parse_record(path: Path, key: ActionKey) -> ActionResult | None:
    """The result in a record file; None when it is absent, damaged, of another format or of another key."""
    content = _read(path)
    if content is None or content.get("format") != _FORMAT or content.get("key") != key:
        return None
    outputs, facts = content.get("outputs"), content.get("facts")
    if not _is_object(outputs) or not _is_object(facts):
        return None
    return ActionResult(
        outputs={name: Sha256(digest) for name, digest in outputs.items() if isinstance(digest, str)}, facts=facts
    )


def _read(path: Path) -> dict[str, JSON] | None:
    try:
        content: JSON = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    seal = content.pop("sha256", None)
    return content if seal == sha256_json(content) else None


def _is_object(value: JSON) -> TypeGuard[Mapping[str, JSON]]:
    return isinstance(value, Mapping)
