# SPDX-License-Identifier: Apache-2.0
"""The files and packages of a bill, from the list of an image's content and the artifacts of its build."""

from __future__ import annotations

import json
from pathlib import Path

from support.bills import bill, digest, package
from zaffre.bill import Origin
from zaffre.image.bill import with_result
from zaffre.manifest import Artifact


def inventory(folder: Path, *rows: dict[str, object]) -> None:
    (folder / "inventory.json").write_text(json.dumps({"content": rows}))


def row(path: str, **fields: object) -> dict[str, object]:
    return {"path": path, "mode": "0644", "sha256": digest(path), "sha1": digest(path)[:40], "bytes": 3, **fields}


def test_whose_each_file_is(tmp_path: Path) -> None:
    inventory(
        tmp_path,
        {"path": "/usr", "mode": "0755"},
        {"path": "/bin", "mode": "0777", "target": "usr/bin"},
        row("/usr/bin/tool", package="tool"),
        row("/etc/tool.conf", package="tool", tree="files/base"),
        row("/etc/motd", tree="files/base"),
        row("/etc/passwd"),
        row("/usr/bin/ours", package="zaffre-server"),
        row("/usr/bin/stray", package="nobody-knows"),
    )
    made = {"zaffre-server_1.20260504.1_amd64.deb": Artifact(sha256=digest("ours"), size=9)}
    found = with_result(bill(package("tool", architecture="all")), tmp_path, made)
    whose = {one.path: (one.package, one.origin, one.tree) for one in found.files}
    assert whose == {
        "/usr/bin/tool": (("tool", "all"), None, None),
        "/etc/tool.conf": (None, Origin.DEFINITION, "files/base"),
        "/etc/motd": (None, Origin.DEFINITION, "files/base"),
        "/etc/passwd": (None, Origin.GENERATED, None),
        "/usr/bin/ours": (("zaffre-server", "amd64"), None, None),
        "/usr/bin/stray": (None, Origin.GENERATED, None),
    }
    (ours,) = [one for one in found.packages if one.name == "zaffre-server"]
    assert (ours.version, ours.sha256, ours.built) == ("1.20260504.1", digest("ours"), True)
    assert [one.name for one in found.artifacts] == list(made)


def test_an_extension_has_no_list_of_files(tmp_path: Path) -> None:
    found = with_result(bill(package("tool", installed=False)), tmp_path, {})
    assert (found.files, found.artifacts) == ((), ())
