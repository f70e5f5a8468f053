# SPDX-License-Identifier: Apache-2.0
"""The commands that look after things, as a person or a script calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.shell import Shell
from zaffre.cli.output import amount, count, parse_size, table
from zaffre.definition import reference_root
from zaffre.errors import DefinitionError, ExitCode
from zaffre.store import Store


@pytest.fixture
def zaffre(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("ZAFFRE_STORE", "ZAFFRE_KEYS", "ZAFFRE_DISTRO"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Shell(capsys)


def test_init_then_show(zaffre: Shell, tmp_path: Path) -> None:
    made = zaffre.json("init", tmp_path / "Acme Linux")
    assert (made["id"], made["name"]) == ("acme-linux", "Acme Linux")
    assert "zaffre.toml" in made["files"]
    images = zaffre.json("show", "--distro", tmp_path / "Acme Linux")
    assert {image["name"] for image in images} == {"check", "container-host"}
    rows = zaffre.json("--distro", tmp_path / "Acme Linux", "show", "container-host")
    assert {"key": "kind", "value": "host"}.items() <= next(row for row in rows if row["key"] == "kind").items()

    assert zaffre("init", tmp_path / "Acme Linux") == ExitCode.USAGE
    assert "not empty" in zaffre.err


def test_the_distribution_is_found_from_inside_and_beside(
    zaffre: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert zaffre("show") == ExitCode.USAGE
    assert "zaffre init" in zaffre.err
    shutil.copytree(reference_root(), tmp_path / "here" / "distro", symlinks=True)
    assert zaffre("show") == ExitCode.DONE
    monkeypatch.chdir(tmp_path / "here" / "distro" / "images")
    assert zaffre("show", "container-host") == ExitCode.DONE
    assert "KEY" in zaffre.out


def test_an_image_that_is_not_there(zaffre: Shell) -> None:
    assert zaffre("show", "containr-host", "--distro", reference_root()) == ExitCode.USAGE
    assert "did you mean 'container-host'?" in zaffre.err


def test_schema_is_json(zaffre: Shell) -> None:
    assert zaffre("schema") == 0
    assert json.loads(zaffre.out)["$schema"].startswith("https://json-schema.org/")
    assert zaffre.json("schema") == json.loads(zaffre.out)
    assert zaffre("schema", "--json", "--markdown") == ExitCode.USAGE


def test_the_reference_page_is_what_the_models_say(zaffre: Shell) -> None:
    assert zaffre("schema", "--markdown") == 0
    assert "| `packages` | list of string |" in zaffre.out
    page = Path(__file__).parents[2] / "docs" / "reference.md"
    assert page.read_text("utf-8") == zaffre.out, "the models have changed: make docs"


def test_keys_are_made_once_and_listed(zaffre: Shell, tmp_path: Path) -> None:
    assert zaffre("keys", "list") == ExitCode.USAGE
    made = zaffre.json("keys", "init", "--owner", "Acme")
    assert made["directory"] == str(tmp_path / "data" / "zaffre" / "keys")
    assert [key["role"] for key in made["keys"]] == ["PK", "KEK", "db", "verity", "release", "pcr", "repository"]
    assert all(key["state"] == "good" and key["private"] for key in made["keys"])
    assert [len(key["fingerprint"]) for key in made["keys"]] == [64, 64, 64, 64, 64, 64, 40]
    assert "Acme" in made["keys"][0]["subject"]

    assert zaffre.json("keys", "list") == made
    assert zaffre("keys", "list") == 0
    assert made["keys"][2]["fingerprint"][:16] in zaffre.out
    shown = zaffre.json("keys", "show", "DB")
    assert shown["pem"].startswith("-----BEGIN CERTIFICATE-----")
    assert zaffre("keys", "show", "dbx") == ExitCode.USAGE
    assert "release" in zaffre.err

    assert zaffre.json("keys", "init", code=ExitCode.USAGE)["error"]["brief"].endswith("never overwritten")


def test_keys_take_the_name_of_the_distribution_but_do_not_lie_in_it(zaffre: Shell, tmp_path: Path) -> None:
    distro = tmp_path / "here" / "distro"
    shutil.copytree(reference_root(), distro, symlinks=True)
    assert zaffre("keys", "init", "--keys", distro / "keys") == ExitCode.USAGE
    assert "distribution's own tree" in zaffre.err
    assert not (distro / "keys").exists()
    assert "Zaffre Linux" in zaffre.json("keys", "init")["keys"][0]["subject"]


def test_no_private_key_is_printed(zaffre: Shell) -> None:
    assert zaffre("keys", "init") == 0
    for role in ("PK", "KEK", "db", "verity", "release", "repository"):
        assert zaffre("keys", "show", role) == 0
        assert "PRIVATE" not in zaffre.out + zaffre.err


def test_the_store_is_measured_cleaned_and_verified(zaffre: Shell, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache" / "zaffre")
    digest = store.add_bytes(b"x" * 10_000)
    size = zaffre.json("store", "size")
    assert size["root"] == str(store.root)
    assert size["blobs"]["count"] == 1
    assert zaffre.json("store", "verify")["ok"] is True

    path = store.path(digest)
    path.chmod(0o600)
    path.write_bytes(b"y" * 10_000)
    found = zaffre.json("store", "verify", code=ExitCode.FINDING)
    assert found["corrupt"]["blobs"] == [digest]
    assert zaffre("store", "verify") == ExitCode.FINDING
    assert "--repair" in zaffre.out
    assert zaffre.json("store", "verify", "--repair")["repaired"] is True
    assert zaffre.json("store", "verify")["ok"] is True


def test_collection_says_what_would_go_and_then_does_it(zaffre: Shell, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    Store(place).add_bytes(b"x" * 10_000)
    would = zaffre.json("store", "gc", "--store", place, "--max-age", "0", "--dry-run")
    assert would["dry_run"] is True
    assert would["removed"][0]["kind"] == "blob"
    assert zaffre.json("store", "size", "--store", place)["blobs"]["count"] == 1
    assert zaffre("store", "gc", "--store", place) == 0
    assert "--max-age" in zaffre.out
    assert zaffre.json("store", "gc", "--store", place, "--max-age", "0")["freed_bytes"] == would["freed_bytes"]
    assert zaffre.json("store", "size", "--store", place)["blobs"]["count"] == 0


def test_the_store_of_the_environment(zaffre: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAFFRE_STORE", str(tmp_path / "mine"))
    assert zaffre.json("store", "size")["root"] == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("20G", 20 * 10**9), ("1.5M", 1_500_000), ("500 kB", 500_000), ("7", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, where="--max-size") == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1Q", "nan", "inf", "1e400", "ten"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(DefinitionError, match="not a size"):
        parse_size(text, where="--max-size")


def test_doctor_reports(zaffre: Shell) -> None:
    code = zaffre("doctor", "--json")
    report = json.loads(zaffre.out)
    assert code == (ExitCode.DONE if report["ok"] else ExitCode.FINDING)
    assert {"Python", "bubblewrap"} <= {check["name"] for check in report["checks"]}
    assert zaffre("doctor") == code
    assert "This machine can" in zaffre.out


@pytest.mark.parametrize(
    "options",
    [
        ("--check", "--update"),
        ("--dropped", "--update"),
        ("--check", "--dry-run"),
        ("--check", "--arch", "arm64"),
        ("apt",),
    ],
)
def test_lock_refuses_options_that_would_go_unheard(zaffre: Shell, options: tuple[str, ...]) -> None:
    assert zaffre("lock", *options, "--distro", reference_root()) == ExitCode.USAGE
    assert options[0] in zaffre.err or "NAME" in zaffre.err


def test_verify_of_what_is_no_build(zaffre: Shell, tmp_path: Path) -> None:
    assert zaffre("verify", tmp_path / "nowhere") == ExitCode.USAGE


def test_words_and_numbers() -> None:
    assert [amount(size) for size in (0, 999, 1000, 1_234_567, 5 * 10**9)] == [
        "0 B", "999 B", "1.0 kB", "1.2 MB", "5.0 GB",
    ]  # fmt: skip
    assert (count(1, "file"), count(2, "file"), count(0, "copy", "copies")) == ("1 file", "2 files", "0 copies")
    assert table([("a", "1"), ("bb", "22")], headers=("X", "N"), right=(1,)) == "X    N\na    1\nbb  22"
