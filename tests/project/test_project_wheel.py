# SPDX-License-Identifier: Apache-2.0
"""The wheel: what `zaffre init` needs is in it, links and all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_init_from_a_wheel_gives_what_it_gives_from_the_source_tree(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("src", "distro"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    (source / "distro/files/container-host/etc").mkdir(exist_ok=True)
    (source / "distro/files/container-host/etc/link").symlink_to("../nowhere")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")

    listings = []
    for path, name in ((tmp_path / "installed", "one"), (source / "src", "two")):
        target = tmp_path / name / "linux"
        code = "import sys, zaffre.cli; sys.exit(zaffre.cli.main(sys.argv[1:]))"
        subprocess.run(
            [sys.executable, "-P", "-c", code, "init", str(target)],
            env={**os.environ, "PYTHONPATH": str(path)},
            check=True,
            capture_output=True,
            timeout=60,
        )
        listings.append(
            {
                str(found.relative_to(target)): str(found.readlink()) if found.is_symlink() else found.read_bytes()
                for found in target.rglob("*")
                if found.is_symlink() or found.is_file()
            }
        )
    assert listings[0] == listings[1]
    assert listings[0]["files/container-host/etc/link"] == "../nowhere"
