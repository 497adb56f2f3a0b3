"""Somebody else's program: what it can see, and what it may use. bubblewrap keeps the walls, `watch` the limits.

A sandbox is a process of bubblewrap's that only waits: its walls are the kernel's namespaces. `enter` leads another
process into them, a fork of one that has already imported TensorFlow: `Nursery`.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

# What a program needs of the system, and no more: no home, no /var, no /run, nothing of this repository.
SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /opt /nix/store /etc/alternatives /etc/fonts /etc/group /etc/ld.so.cache"
SYSTEM += " /etc/ld.so.conf /etc/ld.so.conf.d /etc/localtime /etc/mime.types /etc/nsswitch.conf /etc/passwd"
PROCESSES = 200
MOST_MIB = 2048  # of all its files
NAMESPACES = ("ipc", "uts", "net", "cgroup", "pid", "mnt")
NS_GET_PARENT = 0xB702  # ioctl_ns(2): the user namespace around a user namespace
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38  # prctl(2)
CAPABILITY_VERSION_3 = 0x20080522  # capget(2)
STOP = threading.Event()  # set when the grading is stopped: nothing that it started may go on


def walls(own: Path, readable: Iterable[Path] = ()) -> list[str]:
    """The beginning of a command that may write to `own` only, and read the system and `readable`.

    No network, no other process, no privilege. bubblewrap goes by the order of its options: what lies in memory comes
    first, the root and /dev become read-only last.
    """
    memory = ["--size", str(2**30), "--tmpfs"]
    options = [
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--proc",
        "/proc",
    ]
    options += ["--dev", "/dev", *memory, "/dev/shm", "--remount-ro", "/dev", *memory, "/tmp"]
    for path in programs():
        options += ["--ro-bind-try", path, path]
    for readable_path in map(str, readable):
        options += ["--ro-bind", readable_path, readable_path]
    options += ["--bind", str(own), str(own), "--remount-ro", "/", "--chdir", str(own / "work")]
    return ["bwrap", *options]


def programs() -> list[str]:
    """The folders that Python and what it starts are read from."""
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    python = str(Path(sys.executable).resolve().parents[1])
    linked = os.path.realpath(sys.prefix)  # an environment may be a link to a folder elsewhere
    folders = [*SYSTEM.split(), sys.prefix, linked, sys.base_prefix, python, *packages]
    return list(dict.fromkeys(folders))


@contextlib.contextmanager
def sandbox(own: Path, readable: Iterable[Path] = ()) -> Iterator[int]:
    """A sandbox until the block ends, and with it all that runs inside: yields the id of its first process.

    OSError if it can't be built.
    """
    reading, writing = os.pipe()
    command = [*walls(own, readable), "--info-fd", str(writing), "--", shutil.which("cat") or "cat"]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            pass_fds=[writing], start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert process.stdin and process.stdout
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"up\n")
            process.stdin.flush()
        if not process.stdout.readline():  # its echo: all walls are up
            raise OSError("bubblewrap can't build a sandbox")
        yield json.loads(os.read(reading, 4096))["child-pid"]
    finally:
        os.close(reading)
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def enter(inmate: int) -> None:
    """Lead this process and its next child behind the walls around another one; the child gives up all privilege.

    Only a process of a single thread can, and its child only is in the new process namespace.
    """
    spaces = [os.open(f"/proc/{inmate}/ns/{name}", os.O_RDONLY) for name in NAMESPACES]
    outer, *inner = users_of(inmate)
    for space in (outer, *spaces, *inner):
        checked(LIBC.setns(space, 0))
        os.close(space)


def users_of(inmate: int) -> list[int]:
    """The user namespaces between this process and another one, the outermost first: bubblewrap makes one or two."""
    mine = os.stat("/proc/self/ns/user").st_ino
    found = [os.open(f"/proc/{inmate}/ns/user", os.O_RDONLY)]
    while os.fstat(around := fcntl.ioctl(found[0], NS_GET_PARENT)).st_ino != mine:
        found.insert(0, around)
    os.close(around)
    return found


def give_up_privileges() -> None:
    """What bubblewrap does to its own child: no capability now, and none by any program later."""
    for capability in range(64):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    checked(LIBC.capset(header, none))


LIBC = ctypes.CDLL(None, use_errno=True)


def checked(code: int) -> None:
    """OSError if a function of the C library has failed."""
    if code:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def works(folder: Path) -> bool:
    """Can bubblewrap build these walls on this system, and a process of ours go in?"""
    (folder / "work").mkdir(exist_ok=True)
    code = "import os, sys; from teaching.sandbox import enter, give_up_privileges\n"
    code += "enter(int(sys.argv[1])); child = os.fork()\n"
    code += "child or give_up_privileges() or os._exit(0)\nsys.exit(os.waitpid(child, 0)[1])"
    here = str(Path(__file__).resolve().parents[1])
    with contextlib.suppress(OSError, subprocess.TimeoutExpired), sandbox(folder) as inmate:
        command = [sys.executable, "-B", "-c", code, str(inmate)]
        return subprocess.run(command, cwd=here, capture_output=True, timeout=60).returncode == 0
    return False


class Nursery:
    """A process that has imported what submissions need, once, and is forked for each of their runs.

    It is ours, and reads nothing but our own jobs; only its children go behind walls.
    """

    def __init__(self, environment: dict[str, str], log: Path):
        self.environment, self.log = environment, log
        self.one_at_a_time = threading.Lock()
        self.start()

    def start(self) -> None:
        """Start the process, and talk to it."""
        ours, theirs = socket.socketpair()
        code = f"from teaching.inside import nursery; nursery({theirs.fileno()})"
        with theirs, open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-B", "-c", code], env=self.environment, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self.talk = ours.makefile("rw", encoding="utf-8")
        ours.close()

    def fork(self, job: dict) -> int:
        """Start a job in a child of the nursery; returns its process id. OSError if the nursery can't start."""
        with self.one_at_a_time:
            for _ in range(2):
                with contextlib.suppress(OSError):
                    print(json.dumps(job), file=self.talk, flush=True)
                    if said := self.talk.readline():
                        return int(said)
                self.close()  # it was killed, for want of memory perhaps
                self.start()
        raise OSError("the process that starts submissions has ended")

    def close(self) -> None:
        """End it; its children go on until their sandbox ends."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.talk.close()


class Limits(NamedTuple):
    """What a run may use: seconds, and MiB of memory of all its processes together."""

    seconds: float
    memory_mib: int


TIME = "stopped: no time left"


def watch(pids: Iterable[int], own: Path, limits: Limits) -> str:
    """Wait until the first of some processes ends, or all of them with what they have started go over a limit.

    Then all are killed. Returns which limit, or ''.
    """
    first, *others = pids
    start, trouble, turn = time.monotonic(), "", 0
    while not trouble and not ended(first, seconds=0.5):
        members, turn = family([first, *others]), turn + 1
        over = {
            "stopped": STOP.is_set(),
            TIME: time.monotonic() - start > limits.seconds,
            f"stopped: more than {limits.memory_mib} MiB of memory": used(members)
            > limits.memory_mib * 2**20,
            f"stopped: more than {PROCESSES} processes": len(members) > PROCESSES,
            f"stopped: more than {MOST_MIB} MiB of files": turn % 4 == 0
            and mebibytes(own) > MOST_MIB,
        }
        trouble = next(filter(over.get, over), "")
    if trouble:
        end(family([first]))
    return trouble


def ended(pid: int, seconds: float) -> bool:
    """Has a process ended, or does it within some seconds?"""
    try:
        return bool(psutil.wait_procs([psutil.Process(pid)], timeout=seconds)[0])
    except psutil.NoSuchProcess:
        return True


def end(members: list[psutil.Process]) -> None:
    """Kill processes, and wait until they are gone: a large one takes a while."""
    for member in members:
        with contextlib.suppress(psutil.Error):
            member.kill()
    psutil.wait_procs(members, timeout=10)


def used(members: Iterable[psutil.Process]) -> int:
    """Bytes of memory of some processes."""
    total = 0
    for member in members:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total


def family(pids: Iterable[int]) -> list[psutil.Process]:
    """Processes, all that they have started, and what that has started."""
    members: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            members |= {
                member.pid: member for member in (process, *process.children(recursive=True))
            }
    return list(members.values())


def mebibytes(folder: Path) -> int:
    """What the files in a folder take."""
    said = subprocess.run(
        ["du", "-sm", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout.split()
    return int(said[0]) if said else 0
