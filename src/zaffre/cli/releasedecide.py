# SPDX-License-Identifier: Apache-2.0
"""`zaffre release decide`: why a node is not updated, or is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import table
from zaffre.cli.released import SourceArgument
from zaffre.cli.releasedesk import (
    ArchitectureOption,
    ChannelArgument,
    ImageOption,
    RootOption,
    SignersOption,
    parse_time,
    published,
)
from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from zaffre.digest import JSON
    from zaffre.offer import Decision, Node, Window


def decide(
    context: typer.Context,
    target: SourceArgument,
    channel: ChannelArgument,
    running: Annotated[str, typer.Argument(metavar="RUNNING", help="The version that the node runs.")],
    node: Annotated[str, typer.Option("--node", metavar="ID", help="The node's own id, from which its turn follows.")],
    image: ImageOption = None,
    arch: ArchitectureOption = None,
    staged: Annotated[
        str | None, typer.Option("--staged", metavar="VERSION", help="It is in the other slot, and was not booted yet.")
    ] = None,
    failed: Annotated[
        list[str] | None, typer.Option("--failed", metavar="VERSION", help="It did not come up there. Repeatable.")
    ] = None,
    ordered: Annotated[
        str | None, typer.Option("--ordered", metavar="VERSION", help="Somebody told this node to go to it.")
    ] = None,
    unblessed: Annotated[bool, typer.Option("--unblessed", help="The running boot is not known to be good.")] = False,
    window: Annotated[
        str | None, typer.Option("--window", metavar="HH:MM-HH:MM", help="When it may restart, in UTC. Else: always.")
    ] = None,
    held: Annotated[bool, typer.Option("--held", help="Its owner holds it where it is.")] = False,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="What it does then. Else: now.")] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a node does next, and why: the answer to 'why is this node not updated?'.

    The channel is verified, and the decision is the rule that holds for every node: forward only, over floors, in turn,
    to nothing that is revoked or that failed there, and not before the running boot is known to be good.

    Example: zaffre release decide /srv/releases stable 1.20260501.1 --node 8f3a --window 02:00-04:00
    """
    from zaffre.offer import Node, Policy
    from zaffre.offer import decide as decided
    from zaffre.release.selection import offers

    work = workspace(context)
    who = Node(
        id=node,
        running=_version(running, "RUNNING"),
        blessed=not unblessed,
        staged=staged and _version(staged, "--staged"),
        failed=frozenset(_version(one, "--failed") for one in failed or ()),
        ordered=ordered and _version(ordered, "--ordered"),
    )
    policy = Policy(window=_window(window), held=held)
    now = parse_time(at, work.now, "--at")
    told = offers(published(work, target, signers, root), channel, image, arch, hosts=True)
    found = decided(who, told, policy, now)
    work.emit(_fields(who, found, now), lambda: "\n".join(_words(who, found, now)), as_json=json)


def _version(text: str, where: str) -> str:
    from zaffre.offer.version import FORM

    if not re.fullmatch(FORM, text):
        raise DefinitionError(f"{text!r} is not a version", where=where, resolution="write it like 1.20260501.1")
    return text


def _window(text: str | None) -> Window | None:
    from zaffre.offer import Window

    try:
        return None if text is None else Window.parse(text)
    except ValueError as error:
        raise DefinitionError(str(error), where="--window", resolution="write it like 22:30-04:00, in UTC") from error


def _fields(node: Node, found: Decision, now: datetime) -> dict[str, JSON]:
    return {
        "node": node.id,
        "running": node.running,
        "at": now.isoformat(),
        "act": found.act.value,
        "version": found.version,
        "reason": found.reason,
        "until": None if found.until is None else found.until.isoformat(),
    }


def _words(node: Node, found: Decision, now: datetime) -> Iterator[str]:
    subject = found.version if found.act in {"stage", "drop", "restart"} else None
    rows = [
        ("node", f"{node.id}, runs {node.running}"),
        ("at", f"{now:%Y-%m-%d %H:%M} UTC"),
        ("does", f"{found.act.value} {subject}" if subject else found.act.value),
        ("because", found.reason),
    ]
    if found.until is not None:
        rows.append(("looks again", f"{found.until:%Y-%m-%d %H:%M} UTC"))
    yield table(rows)
