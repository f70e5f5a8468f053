# SPDX-License-Identifier: Apache-2.0
"""A running QEMU: its console, its monitor (QMP) and its guest's reports as one stream of events.

QEMU runs in the sandbox; the three channels are socket pairs that it inherits. One thread serves all of
them, with no time lost in sleeps. Source of the monitor's protocol: QEMU, docs/interop/qmp-spec.rst.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from zaffre.digest import JSON, canonical_json
from zaffre.errors import WorldError
from zaffre.machine.lines import JsonLines
from zaffre.machine.spec import Channels, MachineSpec, arguments
from zaffre.sandbox import Mount, Sandbox, SandboxProcess

_CHUNK = 65536
_LAST_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_ERROR_BYTES = 4000


@dataclass(frozen=True)
class ConsoleOutput:
    data: bytes


@dataclass(frozen=True)
class Message:
    """A report of the guest by the notify port. Nothing in it is to be trusted."""

    fields: Mapping[str, JSON]


@dataclass(frozen=True)
class MonitorEvent:
    """An event of QEMU: RESET, SHUTDOWN, POWERDOWN, STOP …"""

    name: str
    data: Mapping[str, JSON]


@dataclass(frozen=True)
class Typed:
    """Bytes that came from the terminal which was given to `events`."""

    data: bytes


@dataclass(frozen=True)
class Ended:
    """QEMU is gone; `error` is what it said last, empty for an end in order."""

    returncode: int
    error: str


Event = ConsoleOutput | Message | MonitorEvent | Typed | Ended


class Machine:
    """A machine that runs until it ends or the `with` block does; then it is gone, whatever state it was in.

    Made by `start`. Must be used by the thread that started it: the sandbox's processes end with that thread.
    """

    def __init__(
        self,
        process: SandboxProcess,
        *,
        console: socket.socket,
        monitor: socket.socket,
        notify: socket.socket | None,
        read_error: _ErrorFile,
    ) -> None:
        self._process = process
        self._console = console
        self._monitor = monitor
        self._notify = notify
        self._error = read_error
        self._monitor_lines = JsonLines()
        self._reports = JsonLines()
        self._replies: dict[int, Mapping[str, JSON]] = {}
        self._next_id = 0
        self._waiting: deque[Event] = deque()
        self._ended: Ended | None = None
        self._selector = selectors.DefaultSelector()
        for channel in (console, monitor, notify):
            if channel is not None:
                channel.setblocking(False)
                self._selector.register(channel, selectors.EVENT_READ)
        self._process_fd = os.pidfd_open(process.pid)
        self._selector.register(self._process_fd, selectors.EVENT_READ)
        self._send_command("qmp_capabilities", {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def events(self, deadline: float, *, terminal: int | None = None) -> Iterator[Event]:
        """All that happens, until the machine has ended (`Ended` is the last event) or `time.monotonic()` passes
        `deadline`: then the iterator just stops. Bytes from the file descriptor `terminal` come as `Typed`.
        """
        with self._listening(terminal):
            while True:
                while self._waiting:
                    yield self._waiting.popleft()
                if self._ended is not None or time.monotonic() >= deadline:
                    return
                self._turn(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))

    def query(self, command: str, parameters: Mapping[str, JSON] | None = None, *, seconds: float = 10.0) -> JSON:
        """Asks QEMU's monitor and waits for the answer; events meanwhile are kept for `events`.

        Raises WorldError when QEMU refuses, has ended or doesn't answer in time.
        """
        identity = self._send_command(command, parameters or {})
        deadline = time.monotonic() + seconds
        while identity not in self._replies:
            if self._ended is not None or time.monotonic() >= deadline:
                raise WorldError(f"QEMU did not answer {command}", details=self._error.tail())
            self._turn(_LOOK_SECONDS)
        reply = self._replies.pop(identity)
        if "error" in reply:
            raise WorldError(f"QEMU refused {command}", details=canonical_json(reply["error"]).decode())
        return reply.get("return")

    def type(self, data: bytes) -> None:
        """Sends bytes to the guest's console; what a stuck guest doesn't take is dropped."""
        with suppress(OSError):
            self._console.send(data)

    def power_down(self) -> None:
        """Presses the power button: a guest that works ends in order."""
        self._send_command("system_powerdown", {})

    def reset(self) -> None:
        """Presses the reset button."""
        self._send_command("system_reset", {})

    def cut_power(self) -> None:
        """Kills QEMU: what the guest wrote and did not flush may be lost, as the disk keeps that in QEMU's memory."""
        self._process.kill()

    def stop(self) -> None:
        """Ends the machine now: by the monitor, else by force. Safe to call again."""
        if self._process.poll() is None:
            self._send_command("quit", {})
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_SECONDS)
        self._process.__exit__()
        self._selector.close()
        if self._process_fd >= 0:
            os.close(self._process_fd)
            self._process_fd = -1
        for channel in (self._console, self._monitor, self._notify):
            if channel is not None:
                channel.close()
        self._error.close()

    @contextmanager
    def _listening(self, terminal: int | None) -> Iterator[None]:
        if terminal is None:
            yield
            return
        self._selector.register(terminal, selectors.EVENT_READ)
        try:
            yield
        finally:
            with suppress(KeyError, ValueError, RuntimeError):
                self._selector.unregister(terminal)

    def _turn(self, seconds: float) -> None:
        """Waits for what comes next, `seconds` at most, and takes it in."""
        keys = self._selector.select(seconds)
        for key, _ in keys:
            self._take(key.fileobj)
        returncode = self._process.poll()
        if returncode is not None and self._ended is None:
            while any(self._take(key.fileobj) for key, _ in self._selector.select(0)):
                pass  # what QEMU wrote before it ended
            self._ended = Ended(returncode, "" if returncode == 0 else self._error.tail())
            self._waiting.append(self._ended)

    def _take(self, source: object) -> bool:
        """False when there was nothing to take in."""
        if isinstance(source, int):
            return source != self._process_fd and self._take_typed(source)
        if not isinstance(source, socket.socket):
            return False
        data = self._receive(source)
        if not data:
            return False
        if source is self._console:
            self._waiting.append(ConsoleOutput(data))
        elif source is self._monitor:
            self._take_monitor(data)
        else:
            self._waiting.extend(Message(fields) for fields in self._reports.feed(data))
        return True

    def _receive(self, channel: socket.socket) -> bytes:
        try:
            data = channel.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(channel)
        return data

    def _take_typed(self, terminal: int) -> bool:
        data = os.read(terminal, _CHUNK)
        if data:
            self._waiting.append(Typed(data))
        else:
            self._selector.unregister(terminal)
        return bool(data)

    def _take_monitor(self, data: bytes) -> None:
        for value in self._monitor_lines.feed(data):
            identity, name, fields = value.get("id"), value.get("event"), value.get("data")
            if isinstance(identity, int):
                self._replies[identity] = value
            elif isinstance(name, str):
                self._waiting.append(MonitorEvent(name, fields if isinstance(fields, Mapping) else {}))

    def _send_command(self, command: str, parameters: Mapping[str, JSON]) -> int:
        self._next_id += 1
        line = canonical_json({"execute": command, "arguments": parameters, "id": self._next_id}) + b"\n"
        with suppress(OSError):
            self._monitor.send(line)
        return self._next_id


class _ErrorFile:
    """QEMU's standard error, in a file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the machine

    def fileno(self) -> int:
        return self._file.fileno()

    def tail(self) -> str:
        size = os.fstat(self.fileno()).st_size
        return os.pread(self.fileno(), _ERROR_BYTES, max(0, size - _ERROR_BYTES)).decode("utf-8", "replace").strip()

    def close(self) -> None:
        self._file.close()


def start(
    spec: MachineSpec,
    sandbox: Sandbox,
    *,
    mounts: Sequence[Mount],
    network: bool = False,
    devices: Sequence[str] = (),
    notify: bool = True,
    tpm: socket.socket | None = None,
) -> Machine:
    """Starts QEMU from the sandbox's tools tree. `tpm` is the control channel of a TPM emulator (see `tpm.py`)."""
    with ExitStack() as inherited:
        console, console_end = _pair(inherited)
        monitor, monitor_end = _pair(inherited)
        reports, reports_end = _pair(inherited) if notify else (None, None)
        channels = Channels(
            console=console_end.fileno(),
            monitor=monitor_end.fileno(),
            notify=reports_end.fileno() if reports_end else None,
            tpm=tpm.fileno() if tpm else None,
        )
        error = _ErrorFile()
        ends = (console_end, monitor_end, reports_end, tpm)
        process = sandbox.spawn(
            arguments(spec, channels),
            mounts=mounts,
            devices=devices,
            network=network,
            stdin=subprocess.DEVNULL,
            stdout=error.fileno(),
            stderr=error.fileno(),
            pass_fds=[end.fileno() for end in ends if end is not None],
        )
    return Machine(process, console=console, monitor=monitor, notify=reports, read_error=error)


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: ours, and the one that is inherited and closed here afterwards."""
    ours, theirs = socket.socketpair()
    stack.callback(theirs.close)
    return ours, theirs
