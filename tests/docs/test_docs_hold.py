# SPDX-License-Identifier: Apache-2.0
"""What the documentation says exists: files, headings, commands, options; and it names no host but examples."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from docs_command_line import PAGE, arguments, commands, fault_of, options, told_commands, with_tables
from docs_pages import ROOT, Page, pages

from zaffre.cli import main

ALL = pages()
TOP = frozenset({".ci", "bench", "distro", "docs", "scripts", "src", "tests"})
SINGLE = frozenset({"LICENSE", "Makefile", "pyproject.toml", "requirements.lock", "hatch_build.py", "README.md"})
NAMESPACES = frozenset({"http://www.w3.org/2000/svg"})
MODULES = frozenset({"k8s.io", "sigs.k8s.io"})
"""Names of Go modules, which only look like hosts: where they are fetched from, the host's Go settings say."""
OURS = re.compile(r"(?:[\w-]+\.)*example$|localhost$")
HOST = re.compile(r"(?<![\w.@/-])(?:[a-z0-9-]+\.)+(?:com|dev|eu|io|net|org)(?![\w.-])")

by_page = pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)


@by_page
def test_every_link_leads_somewhere(page: Page) -> None:
    lost = []
    for link in page.links():
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        if "://" in link or not path.exists() or not path.is_relative_to(ROOT):
            lost.append(link)
        elif anchor:
            there = next((one for one in ALL if one.path == path), None)
            if there is None or anchor not in there.anchors():
                lost.append(link)
    assert lost == []


@by_page
def test_every_named_file_exists(page: Page) -> None:
    missing = []
    for span in page.spans():
        name = span.rstrip("/")
        ours = name in SINGLE or ("/" in name and name.split("/")[0] in TOP)
        if ours and not re.search(r"[\s*<>{}…$]", name) and not (ROOT / name).exists():
            missing.append(name)
    assert missing == []


@by_page
def test_every_command_line_is_one_of_the_program(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {" ".join(words): fault for words in page.commands("zaffre") if (fault := fault_of(words)) is not None}
    capsys.readouterr()
    assert {line: fault for line, fault in wrong.items() if not is_mention(line)} == {}


def is_mention(line: str) -> bool:
    """A command named in prose without what it needs, as in "see `zaffre build`"; each word of it must exist."""
    known = {*commands(), *(name.split()[0] for name in commands() if " " in name)}
    return line in known


@by_page
def test_every_target_of_make_exists(page: Page) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {words[0] for words in page.commands("make") if words} <= targets


@by_page
def test_no_host_is_named_but_examples(page: Page) -> None:
    urls = [match[1] for match in re.finditer(r"https?://([^/\s\"'`)>:]+)", page.text)]
    assert [host for host in urls if not OURS.search(host)] == []
    assert set(HOST.findall(page.text)) - MODULES == set()


def test_pictures_need_nothing_from_elsewhere() -> None:
    for path in (ROOT / "docs").rglob("*.svg"):
        text = path.read_text("utf-8")
        ET.fromstring(text)
        assert set(re.findall(r"https?://[^\"'\s)]+", text)) <= NAMESPACES, path
        assert not re.search(r"@import|url\((?!#)|<script|<image|href=", text), path


def test_the_page_of_the_command_line_has_every_command_and_its_own_words() -> None:
    page = PAGE.read_text("utf-8")
    assert sorted(told_commands(page)) == sorted(commands())
    assert page == with_tables(page), "run: python tests/docs/docs_command_line.py"


def test_every_command_has_its_section_with_synopsis_and_example() -> None:
    page = PAGE.read_text("utf-8")
    sections = {part.partition("\n")[0]: part for part in re.split(r"^## ", page, flags=re.MULTILINE)}
    for name, command in commands().items():
        if name == "zaffre":
            continue
        section = sections[f"zaffre {name}"]
        synopsis = section.partition("```text\n")[2].partition("```")[0]
        assert synopsis.startswith(f"zaffre {name}"), name
        for argument in arguments(command):
            assert (argument.metavar or argument.name.upper()).strip("[].") in synopsis, name
        told = synopsis + (" --arch --out --profile" if "[BUILD OPTION]" in synopsis else "") + " --json"
        told += " --signers --root --passphrase-file" if "[KEY OPTION]" in synopsis else ""
        assert [one.opts for one in options(command) if not set(one.opts) & set(re.findall(r"--[a-z-]+", told))] == []
        first = command.help.partition("\n")[0].partition(". ")[0].removesuffix(".")
        assert first.partition(":")[0] in " ".join(section.replace("`", "").split()), name
        assert re.search(rf"```sh\n(?:.*\n)*?zaffre {name}", section), name


def test_the_reference_of_the_definition_is_what_the_program_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out.rstrip() == (ROOT / "docs" / "reference.md").read_text("utf-8").rstrip()


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = []
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        number, title = int(path.name[:4]), path.read_text("utf-8").partition("\n")[0]
        assert title.startswith(f"# {number}. "), path.name
        numbers.append(number)
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_index_names_every_page() -> None:
    index = next(page for page in ALL if page.name == "docs/index.md")
    linked = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links()}
    others = {page.path for page in ALL if page.path.parent != ROOT / "docs" / "adr" and page.path != index.path}
    assert {Path(path).relative_to(ROOT).as_posix() for path in others - linked - {ROOT / "README.md"}} == set()


def test_the_readme_has_a_place_for_the_figures() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme.count("<!-- bench -->") == 1
    assert readme.index("<!-- bench -->") < readme.index("<!-- /bench -->")


@pytest.mark.parametrize("line", ["biuld x", "build", "build x --whi", "store gc --max-age never", "lock --check=1"])
def test_a_wrong_command_line_would_be_seen(line: str) -> None:
    assert fault_of(line.split()) is not None
