# SPDX-License-Identifier: Apache-2.0
"""Lines of a policy's table that are patterns for users: left out for a host, filled in for a server."""

from zaffre.image.homes import SEUSERS, with_homes, without_homes

TABLE = """\
/usr/bin/.*	system_u:object_r:bin_t:s0
HOME_DIR	-d	system_u:object_r:user_home_dir_t:s0
HOME_DIR/\\.ssh(/.*)?	system_u:object_r:ssh_home_t:s0
HOME_ROOT/lost\\+found/.*	<<none>>
/run/user/%{USERID}/bus	-s	system_u:object_r:session_dbusd_runtime_t:s0
/run/sudo/ts/%{USERNAME}	system_u:object_r:pam_runtime_t:s0
"""


def test_a_host_has_no_users() -> None:
    assert without_homes(TABLE) == TABLE.splitlines(keepends=True)[0]


def test_a_home_and_what_is_in_it_are_the_users() -> None:
    assert with_homes(TABLE).splitlines() == [
        "/usr/bin/.*	system_u:object_r:bin_t:s0",
        "/home/[^/]+	-d	unconfined_u:object_r:user_home_dir_t:s0",
        "/root	-d	unconfined_u:object_r:user_home_dir_t:s0",
        "/home/[^/]+/\\.ssh(/.*)?	unconfined_u:object_r:ssh_home_t:s0",
        "/root/\\.ssh(/.*)?	unconfined_u:object_r:ssh_home_t:s0",
        "/home/lost\\+found/.*	<<none>>",
        "/run/user/[0-9]+/bus	-s	system_u:object_r:session_dbusd_runtime_t:s0",
        "/run/sudo/ts/[^/]+	system_u:object_r:pam_runtime_t:s0",
    ]


def test_whoever_logs_in_is_a_user_of_the_policy() -> None:
    assert [line.split(":")[:2] for line in SEUSERS.splitlines()] == [
        ["root", "unconfined_u"],
        ["__default__", "unconfined_u"],
    ]
