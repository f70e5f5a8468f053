# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from customised import Workplace

from zaffre.sandbox import Sandbox


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory, tools_sandbox: Sandbox) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("customiser"), tools_sandbox)
