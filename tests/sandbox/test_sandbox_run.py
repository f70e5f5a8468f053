# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support.trouble import eventually
from zaffre.errors import DiskFullError, ToolError, WorldError
from zaffre.sandbox import Mount, Sandbox, ToolsTree

pytestmark = pytest.mark.tools


def shell(sandbox: Sandbox, script: str, *mounts: Mount, timeout: float = 20) -> str:
    return sandbox.run(["sh", "-euc", script], mounts=mounts, timeout=timeout).stdout.decode()


def processes_with(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words:
            found.append(path.parent.name)
    return found


def test_output_comes_back(sandbox: Sandbox) -> None:
    done = sandbox.run(["sh", "-c", "echo out; echo err >&2"], timeout=20)
    assert (done.returncode, done.stdout, done.stderr_tail) == (0, b"out\n", "err\n")


def test_the_environment_is_only_ours(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    output = sandbox.run(["env"], env={"SOURCE_DATE_EPOCH": "12"}, timeout=20).stdout.decode()
    assert dict(line.split("=", 1) for line in output.splitlines() if not line.startswith("PWD=")) == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "12",
    }


def test_umask_and_host_name_are_fixed(sandbox: Sandbox) -> None:
    before = os.umask(0o077)
    try:
        assert shell(sandbox, "umask; uname -n").split() == ["0022", "zaffre"]
    finally:
        os.umask(before)


def test_there_is_no_network(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        assert sandbox.run(["python3", "-c", script], network=True, timeout=20, check=False).returncode == 0
        assert sandbox.run(["python3", "-c", script], timeout=20, check=False).returncode != 0
    interfaces = shell(sandbox, "cat /proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_the_tree_is_read_only_and_tmp_and_run_are_empty_and_writable(sandbox: Sandbox) -> None:
    shell(sandbox, '! touch /usr/x; ! touch /x; ! touch /etc/x; touch /tmp/x /run/x; test -z "$(ls /sys)"')
    assert shell(sandbox, "ls -A /tmp") == ""
    assert shell(sandbox, "stat -c %a /tmp /run").split() == ["1777", "755"]
    assert shell(sandbox, "ls /run") == "lock\n"


def test_dev_has_what_tools_need_and_no_disk(sandbox: Sandbox) -> None:
    names = set(shell(sandbox, "ls /dev").split())
    assert names >= {"null", "zero", "full", "random", "urandom", "tty", "shm", "pts", "ptmx", "fd"}
    assert not names & {"kvm", "vda", "sda", "loop0", "mem"}
    shell(sandbox, "head -c1 /dev/urandom > /dev/null; touch /dev/shm/x")


def test_processes_outside_are_not_seen(sandbox: Sandbox) -> None:
    assert int(shell(sandbox, "ls -d /proc/[0-9]* | wc -l")) < 6


def test_mounts(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("input")
    (tmp_path / "out").mkdir()
    output = shell(
        sandbox,
        "cat /work-new/in; ! touch /work-new/x; echo made > /tmp/out/file",
        Mount(tmp_path, "/work-new"),
        Mount(tmp_path / "out", "/tmp/out", writable=True),
    )
    assert output == "input"
    assert (tmp_path / "out" / "file").read_text() == "made\n"


def test_input_and_output_files(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\0from a file")
    done = sandbox.run(["cat"], stdin=tmp_path / "in", stdout=tmp_path / "out", timeout=20)
    assert done.stdout == b""
    assert (tmp_path / "out").read_bytes() == b"\0from a file"
    assert sandbox.run(["cat"], stdin=b"bytes\0", timeout=20).stdout == b"bytes\0"
    assert sandbox.run(["cat"], timeout=20).stdout == b""


def test_a_large_output_does_not_block(sandbox: Sandbox) -> None:
    done = sandbox.run(["sh", "-c", "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2"], timeout=30)
    assert len(done.stdout) == 5_000_000
    assert len(done.stderr_tail) <= 65536


def test_an_endless_output_is_stopped(sandbox: Sandbox) -> None:
    with pytest.raises(ToolError, match="yes printed more than it may"):
        sandbox.run(["yes"], timeout=60)


def test_a_root_of_ones_own(tools: ToolsTree, tmp_path: Path) -> None:
    root = make_root(tmp_path)
    for sandbox in (Sandbox(None), Sandbox(tools)):
        done = sandbox.run(
            ["/bin/sh", "-euc", "echo $HOME; mkdir -p /etc; echo made > /etc/file; touch /etc/owned; touch /tmp/gone"],
            root=root,
            mounts=[Mount(Path("/usr"), "/usr")],
            timeout=20,
        )
        assert done.stdout == b"/root\n"
        assert (root / "etc" / "file").read_text() == "made\n"
        assert list((root / "tmp").iterdir()) == []
    if os.geteuid() == 0:
        Sandbox(None).run(
            ["/bin/sh", "-euc", "chown 1234:42 /etc/owned; chmod 2755 /etc/owned"],
            root=root,
            mounts=[Mount(Path("/usr"), "/usr")],
            timeout=20,
        )
        status = (root / "etc" / "owned").stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 42, 0o2755)


def make_root(tmp_path: Path) -> Path:
    """A root whose /usr is the host's."""
    root = tmp_path / "root"
    for name in ("usr", "tmp", "run", "proc", "dev"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    return root


def test_a_tree_that_is_entered_has_a_system_of_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    root, below = tmp_path / "root", tmp_path / "below"
    for name in ("dev", "proc", "run", "tmp", "usr"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    below.write_text("mounted below")
    script = "test -c /dev/null; read -r name rest </proc/self/stat; cat /run/below; touch /tmp/left /run/left; ls /"
    done = sandbox.run(
        ["chroot", "/run/target", "/bin/sh", "-euc", script],
        mounts=[
            Mount(root, "/run/target", writable=True),
            Mount(Path("/usr"), "/run/target/usr"),
            Mount(below, "/run/target/run/below"),
        ],
        chroot="/run/target",
        timeout=20,
    )
    assert done.stdout.decode().startswith("mounted below")
    assert list((root / "tmp").iterdir()) == []
    assert list((root / "proc").iterdir()) == []


def test_without_tools_a_root_is_needed() -> None:
    with pytest.raises(ValueError, match="needs a root"):
        Sandbox(None).run(["true"], timeout=20)


def test_a_failed_tool_tells_its_last_lines(sandbox: Sandbox) -> None:
    with pytest.raises(ToolError) as caught:
        sandbox.run(["sh", "-c", "seq 100; echo it broke >&2; exit 3"], timeout=20)
    error = caught.value
    assert error.brief == "sh failed (exit 3)"
    assert error.returncode == 3
    assert error.exit_code == 3
    assert str(error.details).splitlines() == [*(str(number) for number in range(82, 101)), "it broke"]


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [(None, b""), (b"it's \\ $HOME `x`\n\xff\0%s", b"it's \\ $HOME `x`\n\xff\0%s"), (b"x" * 200_000, b"x" * 200_000)],
)
def test_the_line_of_a_failed_tool_really_runs_it_again(
    sandbox: Sandbox, tmp_path: Path, stdin: bytes | None, expected: bytes
) -> None:
    source, out = tmp_path / "a b", tmp_path / "it's"
    source.mkdir()
    out.mkdir()
    with pytest.raises(ToolError) as caught:
        sandbox.run(
            ["sh", "-c", 'cat > "/tmp/out/copy"; echo "$WORD" > /tmp/out/word; pwd; exit 7'],
            mounts=[Mount(source, "/source"), Mount(out, "/tmp/out", writable=True)],
            env={"WORD": "a 'quoted' $word"},
            cwd="/source",
            stdin=stdin,
            timeout=20,
        )
    for file in out.iterdir():
        file.unlink()
    again = subprocess.run(["sh", "-c", caught.value.command], capture_output=True, timeout=30, check=False)
    assert (again.returncode, again.stdout, again.stderr) == (7, b"/source\n", b"")
    assert (out / "copy").read_bytes() == expected
    assert (out / "word").read_text() == "a 'quoted' $word\n"
    kept = [word for word in shlex.split(caught.value.command) if "zaffre-stdin-" in word]
    for name in kept:
        Path(name).unlink()


def test_the_line_names_input_and_output_files(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "in put").write_bytes(b"data")
    with pytest.raises(ToolError) as caught:
        sandbox.run(["sh", "-c", "cat; exit 1"], stdin=tmp_path / "in put", stdout=tmp_path / "out", timeout=20)
    assert not (tmp_path / "out").exists(), "a half-written output is removed"
    assert subprocess.run(["sh", "-c", caught.value.command], timeout=30, check=False).returncode == 1
    assert (tmp_path / "out").read_bytes() == b"data"


def test_an_unchecked_failure_is_a_result(sandbox: Sandbox) -> None:
    assert sandbox.run(["sh", "-c", "exit 3"], check=False, timeout=20).returncode == 3


def test_a_signal_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(ToolError, match="exit 139, that is signal SIGSEGV"):
        sandbox.run(["sh", "-c", "kill -SEGV $$"], timeout=20)


def test_a_missing_tool_says_where_it_is_to_be_added(sandbox: Sandbox) -> None:
    with pytest.raises(ToolError, match=r"mkfs\.nosuch is not in the tree") as caught:
        sandbox.run(["mkfs.nosuch"], timeout=20)
    assert "[tools]" in str(caught.value.resolution)


def test_a_mount_that_is_not_there_points_to_the_doctor(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="could not be set up") as caught:
        sandbox.run(["true"], mounts=[Mount(tmp_path / "absent", "/x")], timeout=20)
    assert "zaffre doctor" in str(caught.value.resolution)
    assert "absent" in str(caught.value.details)


@pytest.mark.parametrize("argv", [["mkfs.nosuch"], ["/etc/passwd"]])
def test_what_cannot_be_started_is_an_error_even_when_failures_are_not(sandbox: Sandbox, argv: list[str]) -> None:
    with pytest.raises(ToolError):
        sandbox.run(argv, check=False, timeout=20)


def test_missing_bubblewrap_says_how_to_get_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorldError, match="bubblewrap") as caught:
        sandbox.run(["true"], timeout=20)
    assert "apt install bubblewrap" in str(caught.value.resolution)


def test_time_is_limited_and_no_process_is_left(sandbox: Sandbox) -> None:
    with pytest.raises(ToolError, match=r"sh did not end within its 0\.5 s"):
        sandbox.run(["sh", "-c", "trap '' TERM INT; (sleep 86399 &) ; sleep 86399"], timeout=0.5)
    assert processes_with("86399") == []


def test_a_daemon_left_behind_ends_with_its_starter(sandbox: Sandbox) -> None:
    sandbox.run(["sh", "-c", "setsid sleep 86398 & sleep 0.1"], timeout=20)
    assert processes_with("86398") == []


PROGRAM = """
import sys
from pathlib import Path
from zaffre.sandbox import Sandbox, ToolsTree
print("up", flush=True)
Sandbox(ToolsTree(Path("/"), "host")).run(["sh", "-c", "touch /tmp/out/up; sleep {number}"], timeout=600, mounts=[])
"""


@pytest.mark.parametrize(("sent", "number"), [(signal.SIGINT, "86397"), (signal.SIGKILL, "86396")])
@pytest.mark.usefixtures("tools")
def test_ctrl_c_and_kill_9_take_the_tool_with_them(sent: signal.Signals, number: str) -> None:
    program = PROGRAM.replace("touch /tmp/out/up; ", "").replace("{number}", number)
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
        eventually(lambda: processes_with(number) != [])
        process.send_signal(sent)
        assert process.wait(timeout=20) != 0
        eventually(lambda: processes_with(number) == [])


def test_cpu_seconds_are_those_of_all_inside(sandbox: Sandbox) -> None:
    loop = "x=0; while [ $x -lt 200000 ]; do x=$((x+1)); done"
    done = sandbox.run(["sh", "-c", f"{loop}; sh -c '{loop}'"], timeout=60)
    assert 0.05 < done.cpu_seconds <= done.wall_seconds * 2


def test_threads_may_run_at_the_same_time(sandbox: Sandbox) -> None:
    results: list[bytes] = []

    def work(number: int) -> None:
        results.extend(sandbox.run(["echo", str(number)], timeout=30).stdout for _ in range(5))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(f"{number}\n".encode() for number in range(6) for _ in range(5))


def test_the_number_of_jobs_is_seen_inside(tools: ToolsTree) -> None:
    before = os.sched_getaffinity(0)
    single = Sandbox(tools, jobs=1)
    assert single.jobs == 1
    assert shell(single, "nproc") == "1\n"
    assert os.sched_getaffinity(0) == before
    assert Sandbox(tools).jobs == len(before)


def test_a_full_disk_is_told_as_such(sandbox: Sandbox, small_disk: Path) -> None:
    with pytest.raises(DiskFullError) as caught:
        sandbox.run(
            ["dd", "if=/dev/urandom", "of=/tmp/out/file", "bs=1M", "count=20"],
            mounts=[Mount(small_disk, "/tmp/out", writable=True)],
            timeout=30,
        )
    assert str(small_disk) in caught.value.brief
    assert "zaffre store gc" in str(caught.value.resolution)


def test_a_full_disk_under_the_output_leaves_no_half_file(sandbox: Sandbox, small_disk: Path) -> None:
    with pytest.raises(DiskFullError):
        sandbox.run(["head", "-c", "20M", "/dev/zero"], stdout=small_disk / "out", timeout=30)
    assert not (small_disk / "out").exists()


def test_no_space_within_an_image_is_the_tools_own_failure(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="sh failed") as caught:
        sandbox.run(
            ["sh", "-c", "head -c 9 /dev/zero > /dev/full"],
            mounts=[Mount(tmp_path, "/tmp/out", writable=True)],
            timeout=30,
        )
    assert "No space left on device" in str(caught.value.details)


@pytest.mark.parametrize("after", ["exit 0", "exit 5", "sleep 86396"])
def test_a_fatal_word_ends_what_goes_on_after_it(sandbox: Sandbox, after: str) -> None:
    with pytest.raises(ToolError, match=r"sh failed$") as caught:
        sandbox.run(
            ["sh", "-c", f"printf '<E>' >&2; echo ' broken; because' >&2; {after}"], timeout=60, fatal=("<E> ",)
        )
    assert caught.value.details == "<E> broken; because"
    # Another of pytest's workers may have the sleeping one of these just now.
    assert processes_with(after.removeprefix("sleep ")) == []
    assert sandbox.run(["sh", "-c", "echo '<E> said to the others'"], timeout=60, fatal=("<E> ",)).returncode == 0


def test_a_spawned_program_talks_and_is_gone_after_kill(sandbox: Sandbox) -> None:
    read, write = os.pipe()
    with sandbox.spawn(
        ["sh", "-c", f"echo ready > /proc/self/fd/{write}; read word; echo got $word; exec sleep 86395"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[write],
    ) as process:
        os.close(write)
        assert os.read(read, 100) == b"ready\n"
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got hello\n"
        assert process.poll() is None
        process.kill()
        process.wait()
        assert processes_with("86395") == []
    os.close(read)


def test_a_spawned_program_ends_with_the_block(sandbox: Sandbox) -> None:
    with sandbox.spawn(["sleep", "86394"]):
        eventually(lambda: processes_with("86394") != [])
    assert processes_with("86394") == []


def test_a_kill_at_any_moment_of_the_setting_up_leaves_nothing(sandbox: Sandbox) -> None:
    for delay in range(60):
        with sandbox.spawn(["sleep", "86393"]):
            time.sleep(delay / 10_000)
    assert processes_with("86393") == []


def test_a_device_that_is_asked_for_is_there(sandbox: Sandbox) -> None:
    device = next((name for name in ("/dev/kvm", "/dev/fuse", "/dev/net/tun") if Path(name).exists()), None)
    if device is None:
        pytest.skip("this machine has no device to pass in")
    assert sandbox.run(["test", "-c", device], devices=[device], timeout=20).returncode == 0
    with sandbox.spawn(["test", "-c", device], devices=[device]) as process:
        assert process.wait(timeout=20) == 0


def test_the_line_of_a_spawned_program_runs(sandbox: Sandbox) -> None:
    line = sandbox.command_line(["echo", "it's me"], env={"A": "b c"})
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True, timeout=20).stdout == b"it's me\n"


def test_a_moved_clock_needs_libfaketime(tools: ToolsTree, tmp_path: Path) -> None:
    if not list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")):
        with pytest.raises(WorldError, match="no libfaketime") as caught:
            Sandbox(tools, clock_offset_seconds=86400).run(["date"], timeout=20)
        assert "zaffre lock" in str(caught.value.resolution)
        return
    for root in (None, make_root(tmp_path)):
        moved = Sandbox(tools, clock_offset_seconds=40 * 86400).run(
            ["date", "+%s"], timeout=20, root=root, mounts=[Mount(Path("/usr"), "/usr")] if root else []
        )
        assert 39 * 86400 < int(moved.stdout) - time.time() < 41 * 86400
