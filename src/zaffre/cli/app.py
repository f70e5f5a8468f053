# SPDX-License-Identifier: Apache-2.0
"""The commands, their order in the help, and the options that all of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zaffre.cli import (
    attest,
    build,
    building,
    check,
    component,
    convert,
    customize,
    definition,
    diff,
    doctor,
    drift,
    feed,
    inventory,
    keys,
    lint,
    lock,
    machine,
    moving,
    patch,
    push,
    release,
    repository,
    sbom,
    scan,
    selinux,
    store,
    surface,
    upgrade,
    verify,
)
from zaffre.cli.context import workspace

DEFINE = "Say what it is"
BUILD = "Make it"
PROVE = "Prove it"
CARE = "Look after it"

_HELP_WIDTH = 90

_HELP = """\
Own your Linux: one tree of TOML becomes a signed, immutable, bootable system.

Try it:

\b
    zaffre doctor                   what this machine lacks, and how to get it
    zaffre keys init                your own signing keys, once
    zaffre lock                     choose exact packages
    zaffre build container-host     build, seal, sign
    zaffre check container-host     boot it, and prove what it promises

The shared options below may stand anywhere on the line.

Exit codes: 0 done; 1 a finding (a check failed, a lock is stale); 2 wrong use or definition; 3 the outside
world failed (network, disk, a missing tool), or the run was interrupted.
"""

_WELCOME = """\
Zaffre: own your Linux. One tree of TOML becomes a signed, immutable, bootable system.

  zaffre doctor                    what this machine lacks, and how to get it
  zaffre keys init                 make your own signing keys (once)
  zaffre init my-linux             a small distribution of your own, ready to build
  zaffre lock                      choose the exact packages of every image
  zaffre build container-host      build and sign an image
  zaffre run container-host        boot it here, in a virtual machine
  zaffre check container-host      boot it and prove what it promises

'zaffre --help' lists every command, 'zaffre COMMAND --help' explains one, with examples."""


class Escaped(Exception):  # noqa: N818 - not an error, a way out
    """Carries `cause` past typer, which would give interrupts and broken pipes exit codes of its own."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Group(TyperGroup):
    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        try:
            return super().make_context(*arguments, **settings)
        except KeyboardInterrupt as error:
            raise Escaped(error) from error

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, OSError, EOFError) as error:
            raise Escaped(error) from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        """Under the heading of each panel, in the order in which the commands were added."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panels.setdefault(getattr(command, "rich_help_panel", None) or "", []).append(
                (name, command.get_short_help_str(_HELP_WIDTH))
            )
        for panel in (panel for panel in (DEFINE, BUILD, PROVE, CARE) if panel in panels):
            with formatter.section(panel):
                formatter.write_dl(panels[panel])


def make_app() -> typer.Typer:
    app = typer.Typer(
        cls=_Group,
        help=_HELP,
        no_args_is_help=False,
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 108},
    )
    app.callback()(_shared_options)
    app.command("init", rich_help_panel=DEFINE)(definition.init)
    app.command("show", rich_help_panel=DEFINE)(definition.show)
    app.command("schema", rich_help_panel=DEFINE)(definition.schema)
    app.command("drift", rich_help_panel=DEFINE)(drift.drift)
    app.command("lock", rich_help_panel=BUILD)(lock.lock)
    app.command("build", rich_help_panel=BUILD)(build.build)
    app.command("convert", rich_help_panel=BUILD)(convert.convert)
    component_app = typer.Typer(help="Components: what is built instead of inherited.", no_args_is_help=True)
    component_app.command("new")(component.new)
    component_app.command("list")(component.list_components)
    component_app.command("show")(component.show)
    component_app.command("build")(building.build)
    component_app.command("why")(component.why)
    component_app.command("update")(moving.update)
    component_app.command("log")(building.log)
    app.add_typer(component_app, name="component", rich_help_panel=BUILD)
    app.add_typer(repository.app, name="repo", rich_help_panel=BUILD)
    app.command("push", rich_help_panel=BUILD)(push.push)
    app.command("customize", rich_help_panel=BUILD)(customize.customize)
    app.add_typer(customize.sign_app, name="sign", rich_help_panel=BUILD)
    app.command("run", rich_help_panel=BUILD)(machine.run)
    app.command("check", rich_help_panel=PROVE)(check.check)
    app.command("reproduce", rich_help_panel=PROVE)(build.reproduce)
    app.command("inventory", rich_help_panel=PROVE)(inventory.inventory)
    app.command("sbom", rich_help_panel=PROVE)(sbom.sbom)
    app.command("verify", rich_help_panel=PROVE)(verify.verify)
    app.command("attest", rich_help_panel=PROVE)(attest.attest)
    app.command("lint", rich_help_panel=PROVE)(lint.lint)
    app.command("scan", rich_help_panel=PROVE)(scan.scan)
    app.command("surface", rich_help_panel=PROVE)(surface.surface)
    app.command("diff", rich_help_panel=PROVE)(diff.diff)
    app.add_typer(selinux.app, name="selinux", rich_help_panel=PROVE)
    app.add_typer(patch.app, name="patch", rich_help_panel=CARE)
    app.add_typer(feed.app, name="feed", rich_help_panel=CARE)
    app.add_typer(release.app, name="release", rich_help_panel=CARE)
    app.add_typer(upgrade.app, name="upgrade", rich_help_panel=CARE)
    app.add_typer(keys.app, name="keys", rich_help_panel=CARE)
    app.add_typer(store.app, name="store", rich_help_panel=CARE)
    app.command("doctor", rich_help_panel=CARE)(doctor.doctor)
    return app


def _shared_options(
    context: typer.Context,
    *,
    distro: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The distribution. Else: the nearest folder upwards with a zaffre.toml, or ./distro.",
            envvar="ZAFFRE_DISTRO",
            file_okay=False,
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The cache of everything made or fetched.", envvar="ZAFFRE_STORE"),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Your keys. Else: zaffre/keys in your data directory.", envvar="ZAFFRE_KEYS"),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ARCHIVE=]URL", help="Where to get packages. Repeatable. Else: mirrors.toml or apt's own sources."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; the result and errors only.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Say which Zaffre this is, and stop.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"zaffre {installed_version('zaffre')}")
        raise typer.Exit
    work = workspace(context)
    work.distro, work.store_root, work.keys_directory, work.quiet = distro, store, keys, quiet
    work.mirrors = tuple(mirror or ())
    if context.invoked_subcommand is None:
        typer.echo(_WELCOME)
