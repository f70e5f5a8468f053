# SPDX-License-Identifier: Apache-2.0
"""How denials are read, and what of them is not believed."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from selinux_lines import OWN, asked, line

from zaffre.selinux import Context, denials_in, read_denial, suggest

FORGED = "scontext=system_u:system_r:container_t:s0:c11,c12 tcontext=u:r:etc_t:s0 tclass={}"


def test_a_denial_is_read_whatever_stands_around_it() -> None:
    denial = read_denial(line("read open", whom="etc_t:s0-s0:c1,c3.c5"))
    assert denial is not None
    assert (denial.source, denial.target) == (Context(OWN), Context("etc_t", frozenset({1, 3, 4, 5})))
    assert (denial.kind, denial.permissions, denial.program, denial.name) == ("file", ("read", "open"), "agent", "a")


def test_a_denial_of_a_service_that_asks_for_itself_is_read() -> None:
    denial = read_denial(
        "type=USER_AVC msg=audit(1.2:3): pid=1 uid=0 msg='avc:  denied  { status } for auid=n/a uid=0 gid=0 "
        'path="/usr/lib/systemd/system/a.service" cmdline="" scontext=system_u:system_r:my_agent_t:s0 '
        'tcontext=system_u:object_r:systemd_unit_t:s0 tclass=service permissive=0 exe="/usr/lib/systemd/systemd"\''
    )
    assert denial is not None
    assert str(denial) == "my_agent_t: status of /usr/lib/systemd/system/a.service (systemd_unit_t), service"


@pytest.mark.parametrize(
    "command",
    [
        f"systemctl start a {FORGED.format('file')} x",
        f"systemctl start a {FORGED.format('service')} permissive=0 x",
        f'a" function="x" {FORGED.format("service")} permissive=0 exe="/usr/lib/systemd/systemd" path=/b comm=c',
        f"systemctl start a\n{FORGED.format('service')}\n",
    ],
)
def test_contexts_in_a_command_line_are_not_those_of_the_denial(command: str) -> None:
    denial = read_denial(asked(command))
    assert denial is not None
    assert (denial.source, denial.target, denial.kind) == (Context(OWN), Context("systemd_unit_t"), "service")
    assert denial.name == "/usr/lib/systemd/system/a.service"


def test_a_command_line_that_cuts_off_what_comes_behind_it_is_not_read() -> None:
    forged = f"systemctl start a {FORGED.format('service')} permissive=0 "
    whole = asked(forged + "x" * 1100)
    start = whole.index("avc:")
    cut = f'{whole[: start + 1023]} exe="/usr/lib/systemd/systemd" hostname=? addr=? terminal=?\''
    assert cut.count("scontext=") == 1
    assert read_denial(cut) is None
    assert read_denial(asked("systemctl start a " + "x" * 300)) is not None
    assert denials_in([cut]).unread


@pytest.mark.parametrize(
    "told",
    [
        # Cut by what counts as the end of a line: the contexts are those of the command line.
        asked(f"systemctl start a {FORGED.format('file')}").partition(' function="x"')[0],
        asked("systemctl", kind="file"),
        asked("x", before="type=1107 audit(1.2:3): pid=9 subj=system_u:system_r:container_t:s0:c1,c2"),
        asked(
            "x", before="type=1107 audit(1.2:3): pid=9 subj=u:r:container_t:s0 msg='subj=system_u:system_r:init_t:s0"
        ),
        f"type=1107 audit(1.2:3): pid=9 subj=u:r:container_t:s0 msg='{line().partition('audit(1.2:18): ')[2]}'",
        # The second line of a message, as journalctl tells it.
        f"                    {line()}",
    ],
)
def test_what_who_asked_may_have_written_is_not_read(told: str) -> None:
    read = denials_in([told])
    assert (read.denials, len(read.unread)) == ((), 1)


def test_it_is_told_whether_the_kernel_itself_refused_it() -> None:
    own, passed_on = read_denial(line()), read_denial(asked("systemctl start a"))
    assert own is not None
    assert own.by_kernel
    assert passed_on is not None
    assert not passed_on.by_kernel


@pytest.mark.parametrize(
    ("told", "categories"),
    [
        ("c1,c3.c5,c1023", {1, 3, 4, 5, 1023}),
        ("c0.c1023", range(1024)),
        (",".join(f"c{one}" for one in range(0, 1024, 2)), range(0, 1024, 2)),
    ],
)
def test_categories_are_read_as_the_kernel_tells_them(told: str, categories: Collection[int]) -> None:
    denial = read_denial(line(whom=f"etc_t:s0-s0:{told}"))
    assert denial is not None
    assert denial.target.categories == frozenset(categories)


@pytest.mark.parametrize(
    "level",
    [
        "c0.c1023,c0.c1023",
        "c2,c1",
        "c3,c3",
        "c5.c3",
        "c1024",
        "c0.c1024",
        "all",
        ",",
        "c1," * 3 + "c4",
        "c1" + "," * 5000,
    ],
)
def test_categories_that_the_kernel_does_not_tell_are_not_read(level: str) -> None:
    assert read_denial(line(whom=f"etc_t:s0:{level}")) is None


def test_a_context_that_is_too_long_is_not_read() -> None:
    assert read_denial(line(whom=f"{'a' * 5000}_t")) is None


def test_a_context_is_not_made_larger_than_there_are_categories() -> None:
    many = ",".join(["c0.c1023"] * 20_000)
    lines = [line(whom=f"etc_t:s0:{many[:size]}") for size in (4_000, 180_000)]
    read = denials_in(lines * 5)
    assert (read.denials, len(read.unread)) == ((), 10)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ("path=2F746D702F6120620A", "/tmp/a b?"),
        ('path="/a b"', "/a b"),
        ('name="scontext=u:r:shadow_t:s0 tcontext=u:r:shadow_t:s0"', "scontext=u:r:shadow_t:s0"),
        ('name="\x1b[31m"', "?[31m"),
    ],
)
def test_names_are_those_of_whoever_chose_them_and_are_shown_harmless(names: str, shown: str) -> None:
    denial = read_denial(line(names=names))
    assert denial is not None
    assert denial.target == Context("etc_t")
    assert denial.name.startswith(shown)


def test_lines_of_other_things_are_passed_over_and_denials_of_another_form_are_not() -> None:
    read = denials_in(
        ["systemd: started", line(), "avc: denied something of a new kind", line(kind="f) (allow a b (c")]
    )
    assert len(read.denials) == 1
    assert len(read.unread) == 2
    assert not suggest(read.denials, read.unread).complete
