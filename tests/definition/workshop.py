# SPDX-License-Identifier: Apache-2.0
"""A small valid distribution to break in tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from zaffre.definition import Distribution, load_distribution
from zaffre.errors import DefinitionError

MAIN = """
[distribution]
id = "acme"
name = "Acme Linux"
version = "1"
[defaults]
upstream = "debian"
[tools]
packages = ["apt", "erofs-utils"]
"""
UPSTREAM = """
family = "deb"
keyring = "keyrings/debian.asc"
architectures = ["amd64"]
[[suites]]
archive = "debian"
suite = "trixie"
components = ["main"]
"""
RPMS = """
family = "rpm"
keyring = "keyrings/debian.asc"
architectures = ["amd64"]
[[repositories]]
archive = "rpms"
path = "main/{basearch}"
verify = "signature"
max_age_days = 30
"""
KEYRING = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnot looked into here\n-----END PGP PUBLIC KEY BLOCK-----\n"
HOST = """
kind = "host"
packages = ["systemd", "containerd"]
[kernel]
package = "linux-image-{arch}"
modules = ["overlay", "nf_*"]
[units]
enable = ["containerd.service"]
[disk]
root = "96M"
"""


class Workshop:
    """A valid small distribution in a directory, to be changed and loaded."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("zaffre.toml", MAIN)
        self.write("upstreams/debian.toml", UPSTREAM)
        self.write("upstreams/keyrings/debian.asc", KEYRING)
        self.write("images/host.toml", HOST)

    def write(self, file: str, text: str) -> Path:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def load(self) -> Distribution:
        return load_distribution(self.root)

    def refused(self) -> DefinitionError:
        with pytest.raises(DefinitionError) as caught:
            self.load()
        return caught.value

    def problems(self) -> list[str]:
        """What is wrong, one line a problem as the command line shows it."""
        error = self.refused()
        if error.where == str(self.root):
            return (error.details or error.brief).splitlines()
        return [f"{error}" + (f" ({error.resolution})" if error.resolution else "")]
