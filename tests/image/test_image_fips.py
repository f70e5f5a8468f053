# SPDX-License-Identifier: Apache-2.0
"""OpenSSL's FIPS provider in a host: configured by the tools, twice the same, and with the profile's openssl.cnf."""

from __future__ import annotations

from pathlib import Path

import pytest

from zaffre.definition import Architecture, load_distribution, reference_root
from zaffre.errors import DefinitionError, ToolError
from zaffre.image.fips import FIPS_MODULE, lay_fips_module
from zaffre.sandbox import Sandbox

CONFIGURATION = reference_root() / "files/fips/etc/ssl/openssl.cnf"


def test_the_kernel_is_told_on_the_signed_command_line() -> None:
    image = load_distribution(reference_root()).image("container-host")
    plain = image.kernel_arguments(Architecture.AMD64)
    there = image.model_copy(update={"fips": True}).kernel_arguments(Architecture.AMD64)
    assert there == (*plain, "fips=1")


def test_an_image_without_the_provider_is_told_where_it_comes_from(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as told:
        lay_fips_module(tmp_path, architecture="amd64", scratch=tmp_path, sandbox=tools_sandbox)
    assert "openssl-provider-fips" in str(told.value.resolution)


def test_a_provider_that_is_damaged_is_refused_by_its_own_tests(tools_sandbox: Sandbox, tmp_path: Path) -> None:
    provider = tmp_path / "usr/lib/x86_64-linux-gnu/ossl-modules/fips.so"
    provider.parent.mkdir(parents=True)
    provider.write_bytes(b"\x7fELF")
    with pytest.raises(ToolError) as told:
        lay_fips_module(tmp_path, architecture="amd64", scratch=tmp_path, sandbox=tools_sandbox)
    assert "fipsinstall" in told.value.command
    assert not (tmp_path / FIPS_MODULE).exists()


def test_openssl_takes_the_provider_and_has_nothing_else() -> None:
    text = CONFIGURATION.read_text()
    assert f".include /{FIPS_MODULE}\n" in text
    assert "default_properties = fips=yes" in text
    assert "config_diagnostics = 1" in text
