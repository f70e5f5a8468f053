# SPDX-License-Identifier: Apache-2.0
"""Neighbouring images share what did not change: a root whose one file is another one, and its verity tree."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from zaffre.digest import sha256_file
from zaffre.image.seal import Compression, make_erofs, make_verity
from zaffre.release.encode import write_delta
from zaffre.sandbox import Sandbox

pytestmark = pytest.mark.tools


def lay(tree: Path, changed: str) -> None:
    """Files that compress, as programs do; the one in the middle is larger in the next version."""
    for number in range(60):
        words = random.Random(number)
        size = 30_000
        if number == 30:
            words, size = random.Random(changed), 30_000 + 9_000 * len(changed)
        text = b" ".join(words.randbytes(words.randrange(2, 9)) * 2 for _ in range(size // 10))
        (tree / f"usr/lib/{number:02}").mkdir(parents=True)
        (tree / f"usr/lib/{number:02}/program").write_bytes(text)


@pytest.mark.parametrize("algorithm", ["lz4hc,12", "zstd,level=3"])
def test_a_changed_file_is_what_a_delta_has(tools_sandbox: Sandbox, tmp_path: Path, algorithm: str) -> None:
    sizes = {}
    for version in ("a", "bb"):
        folder = tmp_path / version
        (folder / "tree").mkdir(parents=True)
        lay(folder / "tree", version)
        make_erofs(
            folder / "tree",
            folder / "root.erofs",
            compression=Compression(algorithm, 65536),
            epoch=1_777_000_000,
            label="host",
            sandbox=tools_sandbox,
        )
        data = folder / "root.erofs"
        make_verity(data, folder / "root.verity", digest=sha256_file(data), sandbox=tools_sandbox)
        sizes[version] = data.stat().st_size
    assert sizes["bb"] > sizes["a"]
    for name, most in {"root.erofs": 0.1, "root.verity": 0.35}.items():
        write_delta(tmp_path / "a" / name, tmp_path / "bb" / name, tmp_path / "delta")
        share = (tmp_path / "delta").stat().st_size / (tmp_path / "bb" / name).stat().st_size
        assert share < most, name
