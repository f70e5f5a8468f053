# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from workshop import HOST, Workshop

from zaffre.definition import Kind, Origin
from zaffre.definition.merge import Layer, additions, merge, origin_of

NAMES = st.sampled_from("abcdef")
SCALARS = st.one_of(st.booleans(), st.integers(), st.text("xyz"))
TABLES = st.dictionaries(NAMES, SCALARS, max_size=4)


@st.composite
def layers_of_lists(draw: st.DrawFn) -> list[Layer]:
    """Files that add to one list and take away what is there, never the same item twice in a file."""
    present: list[str] = []
    layers = []
    for number in range(draw(st.integers(1, 5))):
        gone = draw(st.lists(st.sampled_from(present), unique=True)) if present else []
        added = [name for name in draw(st.lists(NAMES, unique=True)) if name not in gone]
        items = draw(st.permutations([*added, *("-" + name for name in gone)]))
        layers.append(Layer(f"{number}.toml", {"kernel": {"modules": items}}))
        present = [name for name in dict.fromkeys((*present, *added)) if name not in gone]
    return layers


def modules(layers: list[Layer]) -> list[str]:
    merged = merge(layers)
    assert merged.problems == ()
    return merged.table["kernel"]["modules"]  # type: ignore[index,return-value]


@given(layers_of_lists())
def test_a_list_is_an_ordered_set_to_which_files_add_and_from_which_they_take(layers: list[Layer]) -> None:
    expected: list[str] = []
    for layer in layers:
        for item in layer.table["kernel"]["modules"]:  # type: ignore[index]
            if item.startswith("-"):
                expected.remove(item[1:])
            elif item not in expected:
                expected.append(item)
    assert modules(layers) == expected


@given(layers_of_lists())
def test_taking_all_away_leaves_nothing(layers: list[Layer]) -> None:
    whole = modules(layers)
    assert modules([*layers, Layer("last.toml", {"kernel": {"modules": ["-" + item for item in whole]}})]) == []


@given(layers_of_lists(), st.data())
def test_adding_and_then_taking_away_changes_nothing(layers: list[Layer], data: st.DataObject) -> None:
    whole = modules(layers)
    new = data.draw(st.lists(NAMES.filter(lambda name: name not in whole), unique=True))
    there_and_back = [
        Layer("there.toml", {"kernel": {"modules": new}}),
        Layer("back.toml", {"kernel": {"modules": ["-" + item for item in new]}}),
    ]
    assert modules([*layers, *there_and_back]) == whole


@given(layers_of_lists())
def test_the_origin_of_an_item_is_a_place_where_it_stands(layers: list[Layer]) -> None:
    files = {layer.file: layer.table for layer in layers}
    merged = merge(layers)
    for index, item in enumerate(modules(layers)):
        origin = merged.origins["kernel", "modules", index]
        assert origin.key[:2] == ("kernel", "modules")
        assert files[origin.file]["kernel"]["modules"][origin.key[2]] == item  # type: ignore[index]


@given(st.lists(TABLES, min_size=1, max_size=4))
def test_tables_merge_by_key_and_the_last_scalar_counts(tables: list[dict[str, object]]) -> None:
    merged = merge([Layer(f"{number}.toml", {"t": table}) for number, table in enumerate(tables)])
    expected: dict[str, object] = {}
    for table in tables:
        expected |= table
    assert merged.table == {"t": expected}
    for key in expected:
        last = max(number for number, table in enumerate(tables) if key in table)
        assert merged.origins["t", key] == Origin(f"{last}.toml", ("t", key))


@given(st.dictionaries(NAMES, st.one_of(SCALARS, st.lists(NAMES, unique=True), TABLES)))
def test_one_file_alone_is_itself(table: dict[str, object]) -> None:
    assert merge([Layer("a.toml", table)]).table == table


def test_lists_of_tables_only_append_and_keep_their_dashes() -> None:
    parent = Layer("a.toml", {"oci": [{"command": ["-x"]}]})
    heir = Layer("b.toml", {"oci": [{"command": ["-x", "-x"]}]})
    merged = merge([parent, heir])
    assert merged.table == {"oci": [{"command": ["-x"]}, {"command": ["-x", "-x"]}]}
    assert origin_of(merged.origins, ("oci", 1, "command", 0)) == Origin("b.toml", ("oci", 0, "command", 0))
    assert additions(heir.table) == heir.table


def test_an_heir_inherits_from_parents_then_profiles_in_order(workshop: Workshop) -> None:
    workshop.write("images/second.toml", 'extends = "host"\npackages = ["crun"]\n[disk]\nroot = "128M"')
    workshop.write("images/third.toml", 'extends = "host"\npackages = ["-systemd"]\n[sysctl]\n"vm.swappiness" = 1')
    workshop.write("profiles/inner.toml", '[sysctl]\n"vm.swappiness" = 2\n"kernel.panic" = 1')
    workshop.write("profiles/outer.toml", 'profiles = ["inner"]\n[sysctl]\n"vm.swappiness" = 3\n[disk]\nesp = "64M"')
    workshop.write(
        "images/heir.toml",
        'extends = ["second", "third"]\nprofiles = ["outer"]\npackages = ["-crun", "nftables"]\n[disk]\nesp = "32M"',
    )
    distribution = workshop.load()
    heir = distribution.image("heir")
    assert distribution.lineage["heir"] == (
        "images/host.toml",
        "images/second.toml",
        "images/third.toml",
        "profiles/inner.toml",
        "profiles/outer.toml",
        "images/heir.toml",
    )
    assert heir.kind is Kind.HOST
    assert heir.packages == ("containerd", "nftables")
    assert dict(heir.sysctl) == {"vm.swappiness": 3, "kernel.panic": 1}
    assert (heir.disk.root, heir.disk.esp, heir.disk.verity) == (128 << 20, 32 << 20, 16 << 20)
    assert heir.extends == ("second", "third")


def test_what_a_file_says_of_itself_is_not_inherited(workshop: Workshop) -> None:
    workshop.write("profiles/p.toml", 'description = "a profile"')
    workshop.write("images/host.toml", 'description = "the parent"\nprofiles = ["p"]\n' + HOST)
    workshop.write("images/heir.toml", 'extends = "host"')
    heir = workshop.load().image("heir")
    assert (heir.description, heir.profiles, heir.extends) == ("", (), ("host",))


def test_two_parents_may_name_the_same_item(workshop: Workshop) -> None:
    workshop.write("profiles/a.toml", '[kernel]\nmodules = ["overlay", "dummy"]')
    workshop.write("profiles/b.toml", '[kernel]\nmodules = ["dummy", "veth"]')
    workshop.write("images/heir.toml", 'extends = "host"\nprofiles = ["a", "b"]')
    distribution = workshop.load()
    assert distribution.image("heir").kernel.modules == ("overlay", "nf_*", "dummy", "veth")
    assert distribution.provenance["heir"]["kernel", "modules", 2] == Origin(
        "profiles/a.toml", ("kernel", "modules", 1)
    )


def test_an_heir_may_replace_a_file_of_its_parent(workshop: Workshop) -> None:
    workshop.write("files/parent/etc/motd", "old")
    workshop.write("files/heir/etc/motd", "new")
    workshop.write("images/host.toml", HOST + '[files]\ntrees = ["files/parent"]')
    workshop.write("images/heir.toml", 'extends = "host"\n[files]\ntrees = ["files/heir"]')
    assert workshop.load().image("heir").files.trees == ("files/parent", "files/heir")
