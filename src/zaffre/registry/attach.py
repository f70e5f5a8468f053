# SPDX-License-Identifier: Apache-2.0
"""Papers of an image as artifacts of their own, that name it as their subject. Pure, but for the layouts written.

Sources: OCI image specification 1.1, manifest.md ("Guidelines for Artifact Usage", `subject`), and the OCI distribution
specification 1.1, "Pushing Manifests with Subject" and "Referrers Tag Schema": a registry that does not list referrers
itself is given an index of them, under a tag that is made of the subject's digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.digest import JSON, canonical_json, sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.oci import INDEX, LAYOUT_FILE, LAYOUT_TEXT, MANIFEST, Descriptor

_EMPTY = "application/vnd.oci.empty.v1+json"
_NOTHING = b"{}"
_TITLE = "org.opencontainers.image.title"
_MOST_JSON = 4 << 20


@dataclass(frozen=True)
class Paper:
    """A document about an image. `kind` is the media type of what is in the file; `content` that of the file itself."""

    file: Path
    kind: str
    content: str


@dataclass(frozen=True)
class Referrer:
    """An artifact in a layout of its own: how the registry's list of referrers names it."""

    layout: Path
    entry: Mapping[str, JSON]

    @property
    def digest(self) -> str:
        return str(self.entry["digest"])


def referrers_tag(subject: str) -> str:
    """`sha256-<digest>`."""
    return subject.replace(":", "-", 1)


def write_referrer(paper: Paper, subject: Descriptor, layout: Path) -> Referrer:
    """Write the artifact to `layout`, an absent folder. Equal papers of one image give equal artifacts."""
    named: Mapping[str, JSON] = {_TITLE: paper.file.name}
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": paper.kind,
            "config": {"mediaType": _EMPTY, **_blob(layout, _NOTHING)},
            "layers": [
                {"mediaType": paper.content, **_blob(layout, paper.file.read_bytes()), "annotations": named},
            ],
            "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
            "annotations": named,
        }
    )
    entry = {"mediaType": MANIFEST, **_blob(layout, manifest), "artifactType": paper.kind, "annotations": named}
    _write_index(layout, {"mediaType": MANIFEST, "digest": entry["digest"], "size": entry["size"]})
    return Referrer(layout, entry)


def write_list(known: bytes | None, referrers: Sequence[Referrer], layout: Path) -> None:
    """Write to `layout`, an absent folder, the index of what refers to an image: what is known already, and these.

    Raises IntegrityError for a list that is none.
    """
    entries = list(_known(known)) if known is not None else []
    ours = {one.digest for one in referrers}
    others = [one for one in entries if one.get("digest") not in ours]
    index = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [*others, *(one.entry for one in referrers)],
        }
    )
    _write_index(layout, {"mediaType": INDEX, **_blob(layout, index)})


def _known(data: bytes) -> list[Mapping[str, JSON]]:
    try:
        found = json.loads(data)["manifests"] if len(data) <= _MOST_JSON else None
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise IntegrityError(
            "the registry has something else under the tag of the image's referrers",
            resolution="give --without-papers, or take that tag away",
        )
    return found


def _blob(layout: Path, data: bytes) -> dict[str, JSON]:
    descriptor = Descriptor("", f"sha256:{sha256_bytes(data)}", len(data))
    path = layout / descriptor.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"digest": descriptor.digest, "size": descriptor.size}


def _write_index(layout: Path, entry: Mapping[str, JSON]) -> None:
    (layout / LAYOUT_FILE).write_bytes(LAYOUT_TEXT)
    (layout / "index.json").write_bytes(canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}))
