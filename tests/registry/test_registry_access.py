# SPDX-License-Identifier: Apache-2.0
"""Credentials come from the files that other programs log in to, and no secret is among the words of a command."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from zaffre.errors import DefinitionError, WorldError
from zaffre.registry.access import Access, access_to

REGISTRY = "registry.example:5000"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "tools/etc").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def ask(home: Path, **environ: str) -> Access:
    scratch = Path(tempfile.mkdtemp(dir=home.parent))
    return access_to(REGISTRY, tools=home.parent / "tools", scratch=scratch, environ=environ, home=home)


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def credentials(access: Access) -> Path | None:
    return next((mount.source for mount in access.mounts if mount.target == "/run/auth.json"), None)


def test_the_first_file_that_knows_the_registry_counts(home: Path) -> None:
    assert credentials(ask(home)) is None
    docker = write(home / ".docker/config.json", {"auths": {REGISTRY: {"auth": "c2VjcmV0"}}})
    write(home / ".config/containers/auth.json", {"auths": {"other.example": {"auth": "eA=="}}})
    access = ask(home)
    assert credentials(access) == docker
    assert "--dest-authfile=/run/auth.json" in access.options
    assert "c2VjcmV0" not in " ".join((*access.options, *access.environment.values()))


def test_a_file_that_is_named_is_the_only_one(home: Path) -> None:
    write(home / ".docker/config.json", {"auths": {REGISTRY: {"auth": "c2VjcmV0"}}})
    named = write(home / "named.json", {"auths": {}})
    assert credentials(ask(home, REGISTRY_AUTH_FILE=str(named))) is None


def test_a_helper_program_is_not_run(home: Path) -> None:
    write(home / ".docker/config.json", {"auths": {REGISTRY: {}}, "credsStore": "desktop"})
    with pytest.raises(DefinitionError, match="docker-credential-desktop"):
        ask(home)


def test_a_damaged_file_is_said(home: Path) -> None:
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text("{")
    with pytest.raises(WorldError, match="cannot be read"):
        ask(home)


def test_proxies_and_certificates_go_along(home: Path) -> None:
    (home / ".config/containers/certs.d" / REGISTRY).mkdir(parents=True)
    access = ask(home, HTTPS_PROXY="http://proxy.example:3128", OTHER="x")
    assert access.environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert "OTHER" not in access.environment
    assert "--dest-cert-dir=/run/certificates" in access.options
    authorities = next(mount.source for mount in access.mounts if mount.target == access.environment["SSL_CERT_FILE"])
    assert authorities.read_text().count("BEGIN CERTIFICATE") > 50
