# SPDX-License-Identifier: Apache-2.0
"""The page of hardening has each setting and each word of a command line of the reference, and each unit of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from docs_pages import ROOT, Page

from zaffre.definition import Architecture, Distribution, load_distribution, reference_root
from zaffre.definition.image import Image

PAGE = Page(ROOT / "docs/explanation/hardening.md", (ROOT / "docs/explanation/hardening.md").read_text("utf-8"))
ROOTS = ("distro", "src/zaffre")
_UNIT = re.compile(r"\bzaffre-[a-z-]+@?\.service\b")
_SETTING = re.compile(r"(?P<key>[a-z0-9_]+(?:\.[a-z0-9_*-]+)+)?\s*(?:= (?P<value>\S+))?")


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    return load_distribution(reference_root())


def section(title: str) -> Page:
    """What stands below a heading, as a page."""
    text = PAGE.text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert text, title
    return Page(PAGE.path, text)


def first_cells(title: str) -> Iterator[Page]:
    for line in section(title).text.splitlines():
        if line.startswith("| `"):
            yield Page(PAGE.path, line.split(" | ")[0])


def settings() -> dict[str, str]:
    """Of the page: several names before `= value` have that value."""
    found: dict[str, str] = {}
    for cell in first_cells("Settings"):
        waiting: list[str] = []
        for span in cell.spans():
            match = _SETTING.fullmatch(span)
            assert match is not None, span
            waiting += [match["key"]] if match["key"] else []
            if match["value"]:
                found |= dict.fromkeys(waiting, match["value"])
                waiting = []
        assert waiting == [], "each has its value"
    return found


def said(image: Image) -> dict[str, str]:
    return {key: str(value) for key, value in image.sysctl.items()}


@pytest.mark.parametrize("name", ["server", "wsl", "edge"])
def test_the_settings_are_those_of_an_image_that_adds_none(distribution: Distribution, name: str) -> None:
    assert settings() == said(distribution.image(name))


@pytest.mark.parametrize("name", ["container-host", "kubernetes-host", "ipe-host"])
def test_hosts_of_containers_take_no_setting_away(distribution: Distribution, name: str) -> None:
    assert settings().items() <= said(distribution.image(name)).items()


def test_each_word_of_a_command_line_is_there(distribution: Distribution) -> None:
    words = {
        word
        for image in distribution.images.values()
        if image.kind.boots
        for architecture in image.architectures or tuple(Architecture)
        for word in image.kernel_arguments(architecture)
    }
    spans = set(section("Command line").spans())
    assert {"security=selinux", "enforcing=1", "ipe.enforce=1", "panic=10"} <= words
    assert {word for word in words if word not in spans and f"{word.partition('=')[0]}=…" not in spans} == set()


def test_a_word_of_the_table_is_on_a_command_line(distribution: Distribution) -> None:
    images = [image for image in distribution.images.values() if image.kind.boots]
    words = {word for image in images for word in image.kernel.command_line}
    assert {next(cell.spans()) for cell in first_cells("Command line")} <= words


def test_an_image_without_a_command_line_is_named(distribution: Distribution) -> None:
    without = [one.name for one in distribution.images.values() if one.sysctl and not one.kernel.command_line]
    assert without == ["wsl"]
    assert "`wsl`, which extends the server, has its settings and not its command line" in " ".join(PAGE.text.split())


def test_each_unit_of_ours_is_there_and_no_other() -> None:
    paths = [path for root in ROOTS for path in (ROOT / root).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    named = {unit for path in paths for unit in _UNIT.findall(f"{path.name}\n{path.read_text('utf-8', 'replace')}")}
    assert "zaffre-follow.service" in named
    assert {span for span in section("Units").spans() if _UNIT.fullmatch(span)} == named
