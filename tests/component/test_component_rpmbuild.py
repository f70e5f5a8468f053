# SPDX-License-Identifier: Apache-2.0
"""RPM components from source to image: locked, built by the rpm of the distribution in a clean root of it, taken."""

from __future__ import annotations

from pathlib import Path

from support.rpm_components import FILES, MORE, NEEDS, PATCH, Shop, component, content
from support.rpm_sources import GREETER
from support.rpms import Rpm, build_rpms, signed
from zaffre.component.buildroot import PLACE
from zaffre.component.rpmfile import unpack_rpm
from zaffre.component.twice import Recipe, build_twice
from zaffre.errors import DefinitionError
from zaffre.progress import SILENT
from zaffre.tree.rpm.database import rpm_packages
from zaffre.upstream import COMPONENTS, Outcome, lock_text, parse_lock
from zaffre.upstream.requests import check_lock

pytestmark = NEEDS


def test_a_source_of_the_upstream_is_changed_built_and_taken(shop: Shop, tmp_path: Path) -> None:
    split = '[[operations]]\nop = "package-split"\npackage = "greeter"\nname = "greeter-extra"\ndescription = "x"\n'
    shop.overlay(MORE + split + 'paths = ["usr/bin/greet"]\ndepends = ["coreutils"]\n')
    shop.write("components/greeter/more.patch", PATCH)
    shop.packages.add(
        signed(
            build_rpms([Rpm("greeter", "1.1", "1")], sandbox=shop.shared.sandbox, store=shop.shared.store)[
                "greeter-1.1-1"
            ],
            shop.shared.key,
        )
    )
    shop.publish()
    lock = shop.lock().lock
    locked = component(lock, "greeter")
    assert locked.outcome == Outcome.BUILT
    assert locked.source.version == "1.0-3"
    assert locked.gives == ("greeter", "greeter-extra", "greeter-words")
    assert {one.package.name: one.package.version for one in locked.packages} == dict.fromkeys(locked.gives, "1.0-3.z1")
    assert {one.package.name: one.package.architecture for one in locked.packages}["greeter-words"] == "all"
    ours = next(one for one in lock.set("host", "amd64").packages if one.name == "greeter")
    assert (ours.version, ours.archive, ours.source) == ("1.0-3.z1", COMPONENTS, "greeter")
    assert parse_lock(lock_text(lock)) == lock
    assert [str(one) for one in check_lock(shop.distribution, lock)] == []
    assert {one.suite for one in lock.suites if one.archive == "extras"} == {"main", "source"}
    assert "sed" in content(lock, "component:greeter")
    assert f"tests run by 1000 in {PLACE}/BUILD" in shop.log("greeter")
    extra = shop.unpacked(lock, "greeter", "greeter-extra", tmp_path / "extra")
    assert (extra / "usr/bin/greet").read_text().splitlines()[1:] == ["echo hello", "echo again", "echo and again"]
    assert shop.lock(lock).lock is lock


def test_an_image_that_cannot_take_what_is_built_here(shop: Shop) -> None:
    shop.overlay('[[operations]]\nop = "tests-skip"\nreason = "no time"\n')
    image = FILES["images/host.toml"]
    shop.write("images/host.toml", image.replace('"greeter"', '"greeter", "strict"'))
    words = shop.refused(DefinitionError)
    assert "'host' takes 'greeter' 1.1-1 of the upstream's, and the component 'greeter' gives it" in words
    assert "built here: 1.0-3.z1" in words


def test_a_link_that_a_spec_puts_beside_its_source_package_is_not_followed(shop: Shop) -> None:
    """A spec can run programs while it is read."""
    links = "mkdir -p %{_topdir}/SRPMS; ln -sfn /etc/passwd %{_topdir}/SRPMS/x.src.rpm; echo 1"
    shop.ours(head=f"%global hostile %({links})\nProvides: x = %{{hostile}}")
    lock = shop.lock(components=["ours"]).lock
    assert component(lock, "ours").gives == ("ours",)


def test_two_builds_elsewhere_are_the_same_and_a_clock_is_found_out(shop: Shop) -> None:
    """Of two packages, one has the time of the build in it."""
    package = "%package clock\nSummary: x\n%description clock\nx\n%files clock\n/usr/share/clock\n"
    shop.ours(head=package, step="date +%%s >%{buildroot}/usr/share/clock")
    lock = shop.lock(components=["ours"]).lock
    locked, installed = component(lock, "ours"), lock.set("component:ours", "amd64")
    shop.provide(lock, "ours")
    tools, store = shop.shared.sandbox.tools, shop.shared.store
    recipe = Recipe(shop.root, locked, installed, tools, store.root, lock.created)
    bench = shop.engine().bench(locked, shop.shared.sandbox, created=lock.created)
    twice = build_twice(bench, recipe, progress=SILENT)
    assert [*twice.packages] == ["ours-3-1.noarch.rpm", "ours-clock-3-1.noarch.rpm"]
    assert [*twice.differences] == ["ours-clock-3-1.noarch.rpm"]
    assert any("/usr/share/clock" in cause for cause in twice.differences["ours-clock-3-1.noarch.rpm"])


def test_a_spec_of_our_own_is_built_with_what_another_component_gives(shop: Shop, tmp_path: Path) -> None:
    shop.overlay('[[operations]]\nop = "tests-skip"\nreason = "no time"\n')
    needs = "BuildRequires: greeter >= 1.0, /usr/bin/greet, (helper or nobody), help(me)\nBuildConflicts: kernel"
    shop.ours(head=needs, step="greet >%{buildroot}/usr/share/ours/said")
    lock = shop.lock(components=["ours"]).lock
    locked = component(lock, "ours")
    assert (locked.source.name, locked.source.version, locked.gives) == ("ours", "3-1", ("ours",))
    assert locked.source.epoch == int(lock.created.timestamp()) // 86400 * 86400
    assert content(lock, "component:ours").items() >= {"greeter": "1.0-3.z1", "helper": "1:2.0-1"}.items()
    assert "tests run by" not in shop.log("greeter")
    built = shop.build(lock, "ours")
    with shop.built_root(lock, "ours") as root:
        there = {one.name: one.version for one in rpm_packages(root.root)}
    assert there["greeter"] == "1.0-3.z1"
    folder = tmp_path / "ours"
    unpack_rpm(shop.shared.store.path(built.packages[0].package.digest), folder, sandbox=shop.shared.sandbox)
    assert (folder / "usr/share/ours/said").read_text() == "hello\nagain\n"


def test_what_it_is_built_with_may_come_of_components_alone(shop: Shop) -> None:
    shop.ours(name="first")
    shop.ours(name="second", head="BuildRequires: first = 3")
    lock = shop.lock(components=["first", "second"]).lock
    assert content(lock, "component:second")["first"] == "3-1"
    assert component(lock, "first").outcome == Outcome.BUILT
    assert component(lock, "second").outcome == Outcome.LOCKED


def test_components_that_need_one_another_are_named(shop: Shop) -> None:
    shop.ours(name="first", head="BuildRequires: second")
    shop.ours(name="second", head="BuildRequires: first")
    words = shop.refused(DefinitionError, components=["first", "second"])
    assert "the components first and second need each other to be built" in words


def test_a_source_finds_out_itself_what_it_is_built_with(shop: Shop) -> None:
    shop.write("components/greeter/component.toml", FILES["components/greeter/component.toml"])
    # The second name is asked for when the first is there.
    script = "echo 'helper >= 2'\nif rpm -q helper >/dev/null; then echo kernel; fi\n"
    spec = GREETER.replace("%build\n", f"%generate_buildrequires\n{script}\n%build\n", 1).replace("1.0-3", "1.0-4")
    shop.sources.add(signed(shop.source(spec.replace("Release: 3", "Release: 4")), shop.shared.key))
    shop.publish()
    lock = shop.lock(components=["greeter"]).lock
    assert component(lock, "greeter").source.version == "1.0-4"
    assert {"helper", "kernel", "sed"} <= content(lock, "component:greeter").keys()
    assert component(lock, "greeter").outcome == Outcome.BUILT
