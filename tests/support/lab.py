# SPDX-License-Identifier: Apache-2.0
"""A distribution to try things on: the reference definition, locked afresh, with keys made for the tests alone.

Tests never use the lock of the repository: an archive drops old versions, and what is tested must not depend on it.
The lab is made once for a test session; packages and steps come from, and stay in, the user's store.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zaffre.cli.context import Workspace
from zaffre.definition import reference_root


@dataclass(frozen=True)
class Lab:
    root: Path

    @property
    def distro(self) -> Path:
        return self.root / "distro"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def zaffre(
        self, *words: str, check: bool = True, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the program as its user would, on this lab's distribution."""
        done = subprocess.run(
            [sys.executable, "-m", "zaffre", "--distro", str(self.distro), "--keys", str(self.keys), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd or self.root,
            env={**os.environ, **(env or {})},
        )
        if check and done.returncode != 0:
            pytest.fail(f"zaffre {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *words: str, check: bool = True) -> Any:
        return json.loads(self.zaffre(*words, "--json", check=check).stdout)

    def build(self, image: str, *options: str) -> Path:
        """A build's folder; the second call finds it built."""
        with self.exclusive("build"):
            return Path(self.json("build", image, "--out", str(self.out), *options)["directory"])

    def workspace(self) -> Workspace:
        work = Workspace()
        work.distro, work.keys_directory, work.quiet = self.distro, self.keys, True
        return work

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """One of pytest's workers at a time."""
        with (self.root / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def prepare(root: Path) -> Lab:
    """The lab in `root`, made by whichever worker comes first."""
    root.mkdir(parents=True, exist_ok=True)
    lab = Lab(root)
    with lab.exclusive("prepare"):
        if not (root / "ready").exists():
            shutil.rmtree(lab.distro, ignore_errors=True)
            shutil.copytree(reference_root(), lab.distro, symlinks=True)
            lab.distro.joinpath("zaffre.lock").unlink(missing_ok=True)
            # Kubernetes takes minutes to build; nobody should wait for it who tests something else.
            for name in ("kubernetes-host", "check-kubernetes-host"):
                lab.distro.joinpath(f"images/{name}.toml").unlink()
            for name in ("crictl", "kubelet"):
                shutil.rmtree(lab.distro / "components" / name)
            if not lab.keys.exists():
                lab.zaffre("keys", "init")
            lab.zaffre("lock", "--component", "lz4")
            (root / "ready").touch()
    return lab


def for_this_machine_alone(distro: Path) -> None:
    """Take every other architecture away from the images of a distribution's folder."""
    for path in sorted((distro / "images").glob("*.toml")):
        text = re.sub(r'^architectures = \["-.*\n', "", path.read_text(), flags=re.MULTILINE)
        path.write_text(re.sub(r"^architectures = .*$", 'architectures = ["amd64"]', text, flags=re.MULTILINE))
