# SPDX-License-Identifier: Apache-2.0
"""The reference distribution, what is said of it, and the small one that is made of it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from workshop import HOST, Workshop

from zaffre.definition import (
    Architecture,
    Kind,
    RpmUpstream,
    explain,
    init_distribution,
    json_schema,
    load_distribution,
    reference_root,
)
from zaffre.definition.starter import STARTER_IMAGES
from zaffre.errors import DefinitionError
from zaffre.upstream.keyring import Keyring


def test_the_reference_distribution_is_valid() -> None:
    distribution = load_distribution(reference_root())
    assert distribution.image("container-host").kind is Kind.HOST
    assert distribution.image("check").base == "container-host"
    assert "apt" in distribution.seed.packages


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [
        ("fedora", "c6e7f081cf80e13146676e88829b606631645531"),
        ("azurelinux", "2bc94fff7015a5f28f1537ad0cd9fed33135ce90"),
    ],
)
def test_upstreams_of_rpms_trust_the_keys_that_their_projects_publish(name: str, fingerprint: str) -> None:
    upstream = load_distribution(reference_root()).upstreams[name]
    assert isinstance(upstream, RpmUpstream)
    assert [key.fingerprint for key in Keyring.load(upstream.keyring_file).keys] == [fingerprint]
    for repository in upstream.repositories:
        assert repository.path_for(Architecture.ARM64).partition("aarch64")[1]
        assert (repository.metalink_for(Architecture.AMD64) or "x86_64").endswith("x86_64")


def test_no_host_is_named_in_the_reference_distribution() -> None:
    """But for projects: upstreams say where they publish, components of what they are and where it is discussed. And
    for a host that nobody can have (RFC 2606).
    """
    published = {"fedora.toml", "azurelinux.toml"}
    for file in reference_root().rglob("*"):
        if file.name in published or "components" in file.relative_to(reference_root()).parts:
            continue
        if file.is_file() and file.suffix in {".toml", ".conf", ".network", ".service", ".target"}:
            text = re.sub(r"https://[a-z.]+\.example\b", "", file.read_text())
            assert not re.search(r"https?://|\b(?:[a-z0-9-]+\.)+(?:org|com|net|io)/", text), file


def test_explain_names_the_file_of_every_value(workshop: Workshop) -> None:
    workshop.write("profiles/p.toml", '[sysctl]\n"vm.swappiness" = 1\n[kernel]\nmodules = ["veth"]')
    workshop.write(
        "images/heir.toml",
        'extends = ["host"]\nprofiles = ["p"]\npackages = ["-containerd", "crun"]\n'
        '[[users]]\nname = "me"\nuid = 900\n[disk]\nesp = "64M"',
    )
    rows = {row.key: row for row in explain(workshop.load(), "heir")}

    def said(key: str) -> tuple[object, str, str | None]:
        return rows[key].value, rows[key].origin, rows[key].origin_key

    assert said("kind") == ("host", "images/host.toml", "kind")
    assert said("packages[0]") == ("systemd", "images/host.toml", "packages[0]")
    assert said("packages[1]") == ("crun", "images/heir.toml", "packages[1]")
    assert said("kernel.modules[2]") == ("veth", "profiles/p.toml", "kernel.modules[0]")
    assert said('sysctl."vm.swappiness"') == (1, "profiles/p.toml", 'sysctl."vm.swappiness"')
    assert said("disk.root") == ("96M", "images/host.toml", "disk.root")
    assert said("disk.esp") == ("64M", "images/heir.toml", "disk.esp")
    assert said("disk.verity") == ("16M", "default", None)
    assert said("upstream") == ("debian", "zaffre.toml", "defaults.upstream")
    assert said("users[0].uid") == (900, "images/heir.toml", "users[0].uid")
    assert said("users[0].shell") == ("/usr/sbin/nologin", "default", None)
    assert not any(key.startswith(("oci", "extract", "base")) for key in rows)


def test_explain_agrees_with_what_is_written() -> None:
    """Each value of the reference stands in the named file at the named key."""
    root = reference_root()
    distribution = load_distribution(root)
    for image in distribution.images:
        for row in explain(distribution, image):
            if row.origin_key is None:
                continue
            value: Any = tomllib.loads((root / row.origin).read_text())
            for quoted, plain, index in re.findall(r'"([^"]*)"|([A-Za-z0-9_-]+)|\[(\d+)\]', row.origin_key):
                if index and isinstance(value, str):
                    continue  # one item may be written without its list
                value = value[int(index)] if index else value[quoted or plain]
            assert value == row.value, row


def test_explain_knows_no_other_images(workshop: Workshop) -> None:
    with pytest.raises(DefinitionError, match="no image 'ghost'"):
        explain(workshop.load(), "ghost")


def test_the_schema_describes_every_key_and_refers_to_nothing_else() -> None:
    schema = json_schema()
    definitions: Mapping[str, Any] = schema["$defs"]
    assert set(schema["properties"]) == {
        "zaffre.toml",
        "upstreams/*.toml",
        "components/*/component.toml",
        "components/*/overlays/*.toml",
        "profiles/*.toml",
        "images/*.toml",
        "vex/*.toml",
    }
    text = json.dumps(schema)
    assert set(re.findall(r'"#/\$defs/(\w+)"', text)) == set(definitions)
    assert "null" not in text
    for definition in definitions.values():
        if definition["type"] == "object":
            assert definition["additionalProperties"] is False
    assert definitions["Disk"]["properties"]["verity"]["default"] == "16M"


def test_the_schema_lets_items_be_taken_away_where_images_inherit() -> None:
    definitions: Mapping[str, Any] = json_schema()["$defs"]

    def allows(table: str, key: str, item: str) -> bool:
        return bool(re.search(definitions[table]["properties"][key]["items"]["pattern"], item))

    assert allows("ImageFile", "packages", "-systemd")
    assert allows("Fragment", "packages", "-systemd")
    assert allows("Units", "enable", "-a.service")
    assert not allows("ImageFile", "profiles", "-kubernetes")
    assert not allows("Extract", "paths", "-/usr/bin/ctr")
    assert not allows("PackageList", "packages", "-apt")


def test_a_distribution_of_ones_own(tmp_path: Path) -> None:
    made = tmp_path / "new" / "acme"
    files = init_distribution(made, id="acme", name='Acme "Ärger" Linux')
    assert [made / file for file in files] == sorted(
        path for path in made.rglob("*") if path.is_symlink() or path.is_file()
    )
    own = load_distribution(made)
    assert (own.identity.id, own.identity.name, own.identity.version) == ("acme", 'Acme "Ärger" Linux', "1")
    assert set(own.images) == set(STARTER_IMAGES)
    reference = load_distribution(reference_root())
    for name in STARTER_IMAGES:
        assert own.image(name) == reference.image(name)
    assert own.tools == reference.tools
    packages = ("htop", "libtext-wrapi18n-perl", "rsync", "tcpdump", "tmux", "vim-tiny")
    assert (reference.repository_packages, own.repository) == (packages, None)
    assert own.release == reference.release
    assert "reference" not in (made / "zaffre.toml").read_text()
    assert not (made / "zaffre.lock").exists()
    assert sorted(path.name for path in made.parent.iterdir()) == ["acme"]


def test_an_empty_directory_may_be_used(tmp_path: Path) -> None:
    assert init_distribution(tmp_path, id="acme", name="Acme")


def test_nothing_is_overwritten(workshop: Workshop) -> None:
    with pytest.raises(DefinitionError) as caught:
        init_distribution(workshop.root, id="acme", name="Acme")
    assert str(caught.value) == f"{workshop.root}: this directory is there already and not empty"
    assert (workshop.root / "images/host.toml").read_text() == HOST


def test_a_name_that_no_distribution_can_have(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        init_distribution(tmp_path / "x", id="Acme Linux", name="Acme")
    assert str(caught.value) == (
        "zaffre init: id: 'Acme Linux' is not a name of lower-case letters, digits, '.', '_' and '-'"
    )
    assert not (tmp_path / "x").exists()
