# SPDX-License-Identifier: Apache-2.0
"""Requests to end the program: Ctrl-C, a closed terminal, a service manager. All of them are a KeyboardInterrupt.

Loaded before anything else of the program, and in no time, so that a request comes to words at any moment.
"""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 1.0


class Requests:
    """Listens while the `with` block lasts. To be used by the main thread.

    A request soon after another says nothing new: it must not break off what the first one began to clean up. One
    after a pause is heard again, as Python may have lost the first (an exception in a destructor goes nowhere).
    Signals that were ignored before (nohup(1), jobs in the background) stay so.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._over = False
        self._before: dict[signal.Signals, object] = {}

    def over(self) -> None:
        """From now on only a last word is said: no request is heard any more."""
        self._over = True

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            # Once one was heard the process ends, and its last moments belong to nobody's impatience.
            signal.signal(number, signal.SIG_IGN if self._last is not None else before)  # type: ignore[arg-type]

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        before, self._last = self._last, time.monotonic()
        if not self._over and (before is None or self._last - before > _PATIENCE):
            raise KeyboardInterrupt
