# SPDX-License-Identifier: Apache-2.0
"""`zaffre patch` as it is typed: what `patch` alone means, what is refused before any work is done, and the words."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from support.shell import Shell
from zaffre.advisory.patch import Behind, Plan, Proof, Unfixed
from zaffre.cli.patched import words
from zaffre.definition.starter import init_distribution
from zaffre.patching import Changed, Order, PatchReport, Stage, StageReport

NOW = dt.datetime(2026, 11, 26, 9, tzinfo=dt.UTC)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    init_distribution(tmp_path / "own", id="own", name="Own Linux")
    monkeypatch.chdir(tmp_path / "own")
    monkeypatch.setenv("ZAFFRE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("ZAFFRE_KEYS", str(tmp_path / "keys"))
    return Shell(capsys)


@pytest.mark.parametrize("line", [("patch",), ("patch", "--plan"), ("patch", "container-host"), ("patch", "run")])
def test_patch_alone_means_patch_run(shell: Shell, line: tuple[str, ...]) -> None:
    assert shell(*line) == 1
    assert "there is no lock yet" in shell.err
    assert "run `zaffre lock`" in shell.err


def test_the_help_of_the_group_names_its_commands(shell: Shell) -> None:
    assert shell("patch", "--help") == 0
    assert "schedule" in shell.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("patch", "nowhere"), "there is no image 'nowhere'"),
        (("patch", "--until", "never"), "is not one of lock, build, check, release"),
        (("patch", "--to", "repo", "--plan"), "nothing is published before the last stage"),
        (("patch", "--to", "repo", "--until", "check"), "nothing is published before the last stage"),
        (("patch", "--to", "repo"), "there is no root of trust here"),
        (("patch", "--to", "repo", "--waves", "never"), "never"),
    ],
)
def test_what_would_fail_after_all_the_work_is_refused_at_once(shell: Shell, line: tuple[str, ...], said: str) -> None:
    assert shell(*line) == 2
    assert said in shell.err


BEHIND = Behind(
    source="expat",
    ecosystem="Debian:13",
    version="2.7-1",
    fixed_version="2.7-2",
    vulnerabilities=("CVE-2026-1000", "CVE-2026-1001"),
    exploited=("CVE-2026-1001",),
    packages=("libexpat1",),
    images=("node",),
)
UNFIXED = Unfixed(
    vulnerability="CVE-2026-4", sources=("zlib",), images=("node",), file="vex/cve-2026-4.toml", statement="a = 1\n"
)


def report(**more: object) -> PatchReport:
    plain = PatchReport(
        at=NOW,
        old_lock="20261126.1",
        plan=Plan(behind=(BEHIND,), unfixed=(UNFIXED,)),
        lock="20261126.2",
        changes=(
            Changed(image="node", architecture="amd64", package="libexpat1", old="2.7-1", new="2.7-2", wanted=True),
            Changed(image="node", architecture="amd64", package="libnew", old=None, new="1-1", wanted=False),
        ),
        proof=Proof(gone=BEHIND.vulnerabilities, left=(), appeared=()),
        stages=(StageReport(stage="scan", seconds=1.5), StageReport(stage="lock", seconds=2.0)),
    )
    return plain.model_copy(update=more)


def told(one: PatchReport, **more: object) -> str:
    order = Order(
        images=(), architecture="amd64", until=Stage.RELEASE, dry_run=bool(more.get("dry_run")), out=Path("out")
    )
    return words(one, order)


def test_words_name_what_moves_what_goes_and_what_has_no_fix() -> None:
    text = told(report(), dry_run=True)
    assert "CVE-2026-1001 !, CVE-2026-1000" in text, "what is being exploited comes first"
    assert "comes with it" in text
    assert "# vex/cve-2026-4.toml\na = 1" in text
    assert text.endswith("2 would be mended; nothing was written")
    assert told(report(written=True)).endswith("2 mended in 4 s; zaffre.lock is 20261126.2")


def test_words_of_a_patch_that_did_not_hold_say_where_its_lock_is() -> None:
    text = told(report(broken="the check does not hold: node: verity", kept="out/patch/zaffre.lock"))
    assert "NOT PATCHED: the check does not hold: node: verity" in text
    assert text.endswith("zaffre.lock is as it was; the lock that led to this is out/patch/zaffre.lock")
