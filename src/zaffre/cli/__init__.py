# SPDX-License-Identifier: Apache-2.0
"""Arguments in, words and exit codes out; no logic.

Everything a person reads goes to standard error, save the result that was asked for. Importing this package
is cheap: each command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zaffre.cli.interrupt import Requests

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with Requests() as requests:
        try:
            from zaffre.cli.entry import run

            return run(arguments, requests)
        except KeyboardInterrupt as error:  # while the program was loaded, or about to end
            requests.over()
            from zaffre.cli.failure import describe, show

            failure = describe(error)
            show(failure, as_json="--json" in arguments)
            return failure.exit_code
