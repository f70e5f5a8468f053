# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from zaffre.sandbox import ToolsTree, doctor
from zaffre.sandbox.doctor import store_check


@pytest.mark.tools
def test_a_good_host_passes_what_is_required(tools: ToolsTree, tmp_path: Path) -> None:
    checks = doctor(space_at=tmp_path / "not" / "yet")
    assert [check.name for check in checks if check.required and not check.ok] == []
    assert {"Python", "bubblewrap", "sandbox", "disk space", "memory", "KVM"} <= {check.name for check in checks}
    assert all(check.detail for check in checks)
    assert all(bool(check.remedy) != check.ok for check in checks)


def test_a_host_without_bubblewrap_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = (check for check in doctor(space_at=tmp_path) if check.name == "bubblewrap")
    assert not check.ok
    assert check.required
    assert "apt install bubblewrap" in check.remedy


@pytest.mark.parametrize(("version", "ok"), [("0.4.1", False), ("0.5.0", True), ("0.8.0", True), ("0.11.0", True)])
def test_old_bubblewrap_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, *, ok: bool) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\necho bubblewrap {version}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (check,) = (check for check in doctor(space_at=tmp_path) if check.name == "bubblewrap")
    assert check.ok is ok
    assert version in check.detail


@pytest.mark.parametrize(
    ("held", "free", "ok"), [(0, 0, True), (9, 1, True), (40, 41, True), (40, 39, False), (12, 3, False)]
)
def test_a_store_that_is_large_beside_what_is_free(tmp_path: Path, held: int, free: int, *, ok: bool) -> None:
    check = store_check(tmp_path, held * 10**9, free * 10**9)
    assert (check.ok, check.required) == (ok, False)
    assert ok or f"zaffre store gc --max-size {held // 2}G" in check.remedy


def test_what_the_store_holds_is_told_when_there_is_one(tmp_path: Path) -> None:
    assert "store" not in {check.name for check in doctor(space_at=tmp_path)}
    (check,) = (check for check in doctor(space_at=tmp_path, store_bytes=3_000_000_000) if check.name == "store")
    assert check.detail == "3.0 GB"
