# SPDX-License-Identifier: Apache-2.0
"""The command line of `zaffre-agent`. argparse, as the libraries of `zaffre` would double what a node carries.

Exit codes are those of `zaffre`: 0 done, also when there was nothing to do; 1 the answer is 'no'; 2 the settings or the
words are wrong; 3 the world failed, and trying again can help.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from zaffre.agent.drift import drift
from zaffre.agent.home import FOLDER, Home
from zaffre.agent.host import Host, Machine
from zaffre.agent.look import TRUSTED
from zaffre.agent.overlay import Overlay, Systemd
from zaffre.agent.quote import evidence, nonce_of
from zaffre.agent.settings import PLACES, Settings, read_settings
from zaffre.agent.source import open_place
from zaffre.agent.standing import released
from zaffre.agent.status import status
from zaffre.agent.tpm import DEVICE, Device
from zaffre.agent.work import Agent
from zaffre.errors import DefinitionError, ExitCode, ZaffreError
from zaffre.offer import Act, Decision
from zaffre.offer.version import FORM

_EPILOG = """example:
  zaffre-agent status            what runs, what is staged, and why
  zaffre-agent drift             what this host has that its release does not
  zaffre-agent check             look at the channel, and decide
  zaffre-agent order 1.20261126.1   go to that version, before its turn
  zaffre-agent quote --nonce 5be10c77d1e0a2f4   what the TPM says of this boot, for 'zaffre attest'
"""


def main(words: Sequence[str] | None = None, *, host: Host | None = None, overlay: Overlay | None = None) -> int:
    """The program. `host` and `overlay` are of another machine than this one, for tests."""
    options = _parser().parse_args(words)
    try:
        return _run(options, host or Machine(options.root), overlay or Systemd(options.root))
    except ZaffreError as error:
        _show(error, as_json=options.json)
        return int(error.exit_code)
    except OSError as error:
        _show(DefinitionError(str(error.strerror or error), where=str(error.filename or "")), as_json=options.json)
        return int(ExitCode.WORLD)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zaffre-agent",
        description="What this node does about its version: verified releases into the other slot, and a restart.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the host's files are (default: /)")
    parser.add_argument("--settings", type=Path, help=f"the settings (default: {' or '.join(str(p) for p in PLACES)})")
    parser.add_argument("--state", type=Path, default=FOLDER, help=f"what it remembers (default: {FOLDER})")
    parser.add_argument("--trusted", type=Path, default=TRUSTED, help=f"the root of trust (default: {TRUSTED})")
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in {
        "check": "look at the channel, decide, and change nothing",
        "update": "the same, and write what is to be staged; no restart",
        "run": "all of it, with a restart when that may be: what the timer calls",
        "prove": "whether this agent could do its work here; changes nothing: what a trial of an extension ends with",
        "status": "what runs, what is staged, which extensions, and why; without the network",
        "drift": "what /etc, units, extensions and mounts have that the release does not; ends with 1 if there is any",
    }.items():
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("--json", action="store_true", help="as JSON")
        if name in {"update", "run"}:
            command.add_argument("--dry-run", action="store_true", help="say what would be done first, like 'check'")
    order = commands.add_parser("order", help="ask this node to go to a version, before its turn; or 'none'")
    order.add_argument("version", metavar="VERSION|none", help="a version that the channel offers")
    order.add_argument("--json", action="store_true", help="as JSON")
    said = commands.add_parser("quote", help="what the TPM says of this boot, as JSON for 'zaffre attest'")
    said.add_argument("--nonce", required=True, metavar="HEX", help="chosen anew by who will verify it")
    said.add_argument("--tpm", type=Path, default=DEVICE, help=f"the TPM's device (default: {DEVICE})")
    said.add_argument("--json", action="store_true", help="as JSON, which it always is")
    return parser


def _run(options: argparse.Namespace, host: Host, overlay: Overlay) -> int:
    if options.command == "quote":
        return _quote(options, host)
    home = Home(options.state)
    if options.command == "drift":
        return _drift(options, home, overlay)
    settings = read_settings([options.settings] if options.settings else PLACES)
    if options.command == "status":
        health = options.root / "var/lib/zaffre/health"
        found = status(host, home, settings, datetime.now(UTC), overlay=overlay, health=health)
        print(json.dumps(found.plain(), indent=1, ensure_ascii=False) if options.json else "\n".join(found.lines()))
        return ExitCode.DONE
    agent = _agent(options, settings, home, host, overlay)
    if options.command == "order":
        return _order(agent, options)
    if options.command == "prove":
        return _prove(agent, options)
    act = agent.check if options.command == "check" or options.dry_run else getattr(agent, options.command)
    return _say(act(), as_json=options.json)


def _prove(agent: Agent, options: argparse.Namespace) -> int:
    agent.prove()
    print(json.dumps({"proved": True}) if options.json else "it knows its host, and reads what its channel says")
    return ExitCode.DONE


def _drift(options: argparse.Namespace, home: Home, overlay: Overlay) -> int:
    found = drift(options.root, released=released(home, overlay))
    print(json.dumps(found.plain(), indent=1, ensure_ascii=False) if options.json else "\n".join(found.lines()))
    return ExitCode.FINDING if found.unexpected else ExitCode.DONE


def _quote(options: argparse.Namespace, host: Host) -> int:
    nonce = nonce_of(options.nonce)
    with closing(Device(options.tpm)) as tpm:
        print(json.dumps(evidence(host, tpm, nonce), indent=1))
    return ExitCode.DONE


def _agent(options: argparse.Namespace, settings: Settings, home: Home, host: Host, overlay: Overlay) -> Agent:
    return Agent(
        host=host,
        overlay=overlay,
        home=home,
        settings=settings,
        place=open_place(settings.place, ca=settings.ca),
        trusted=lambda: _trusted(options.trusted),
        now=lambda: datetime.now(UTC),
        progress=_Lines(),
    )


def _order(agent: Agent, options: argparse.Namespace) -> int:
    version = None if options.version == "none" else options.version
    if version is not None and not re.fullmatch(FORM, version):
        raise DefinitionError(f"{version!r} is no version", where="VERSION", resolution="see 'zaffre release list'")
    agent.order(version)
    print(
        json.dumps({"order": version})
        if options.json
        else f"{version} is ordered: the next run goes there, if it may"
        if version
        else "nothing is ordered any more"
    )
    return ExitCode.DONE


def _trusted(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DefinitionError(
            "there is no root of trust",
            where=str(path),
            resolution="the image needs the root.json that 'zaffre release init' wrote",
        ) from error


def _say(decision: Decision, *, as_json: bool) -> int:
    until = decision.until.isoformat() if decision.until else None
    if as_json:
        said = {"act": decision.act.value, "version": decision.version, "reason": decision.reason, "until": until}
        print(json.dumps(said, indent=1, ensure_ascii=False))
    else:
        about = f" {decision.version}" if decision.version and decision.act is not Act.WAIT else ""
        print(f"{decision.act.value}{about}: {decision.reason}")
    return ExitCode.DONE


def _show(error: ZaffreError, *, as_json: bool) -> None:
    parts = {"error": str(error), "details": error.details, "resolution": error.resolution}
    if as_json:
        print(json.dumps(parts, ensure_ascii=False))
        return
    print(f"zaffre-agent: {error}", file=sys.stderr)
    for line in (error.details or "").splitlines():
        print(f"  {line}", file=sys.stderr)
    if error.resolution:
        print(f"  next: {error.resolution}", file=sys.stderr)


class _Lines:
    """Progress as a service's journal has it: a line when something begins."""

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        print(f"* {title}", file=sys.stderr, flush=True)
        yield _quiet

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        print(f"* {title}, {total / 1e6:.1f} MB", file=sys.stderr, flush=True)
        yield _quiet

    def note(self, message: str) -> None:
        print(f"* {message}", file=sys.stderr, flush=True)


def _quiet(_: object) -> None:
    """A remark or an amount that has no line."""
