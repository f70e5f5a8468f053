# SPDX-License-Identifier: Apache-2.0
"""The generated files of a server."""

from __future__ import annotations

from posixpath import join, normpath

import pytest

from zaffre.definition import Selinux, SelinuxMode, load_distribution, reference_root
from zaffre.image.serverstate import INSTALL_POLICY, SERVER_LINKS, server_root_files


@pytest.mark.parametrize("mode", SelinuxMode)
def test_what_labels_is_there_with_or_without_a_policy(mode: SelinuxMode) -> None:
    """A server that has had one may fall back to its kernel."""
    distribution = load_distribution(reference_root())
    image = distribution.image("server").model_copy(update={"selinux": Selinux(mode=mode)})
    files = server_root_files(distribution, image, None)
    assert INSTALL_POLICY in files
    for path, link in SERVER_LINKS.items():
        unit = normpath(join(path, "..", link.removeprefix("->")))
        assert b"\nConditionSecurity=" in files[unit]
        assert b"\nBefore=" in files[unit]
