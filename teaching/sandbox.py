"""Somebody else's program: what it can see, and what it may use. bubblewrap keeps the walls, `watch` the limits."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

# What a program needs of the system, and no more: no home, no /var, no /run, nothing of this repository.
SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /opt /nix/store /etc/alternatives /etc/fonts /etc/group /etc/ld.so.cache"
SYSTEM += " /etc/ld.so.conf /etc/ld.so.conf.d /etc/localtime /etc/mime.types /etc/nsswitch.conf /etc/passwd"
PROCESSES = 200
MOST_FILE = 512 * 2**20  # bytes of a file that a submission writes
STOP = threading.Event()  # set by Ctrl-C: nothing that this program started may go on


class Stopped(Exception):
    """Raised where the grading was waiting when it was stopped."""


def walls(own, readable=()):
    """The beginning of a command that may write in the folder `own` only, and read the system and `readable`.

    No network, no other process, no privilege. bubblewrap goes by the order of its options: what lies in memory comes
    first, the root and /dev become read-only last.
    """
    memory = ["--size", str(2**30), "--tmpfs"]
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--proc", "/proc"]
    options += ["--dev", "/dev", *memory, "/dev/shm", "--remount-ro", "/dev", *memory, "/tmp"]
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    program = str(Path(sys.executable).resolve().parents[1])
    for path in dict.fromkeys([*SYSTEM.split(), sys.prefix, sys.base_prefix, program, *packages]):
        options += ["--ro-bind-try", path, path]
    for path in map(str, readable):
        options += ["--ro-bind", path, path]
    return ["bwrap", *options, "--bind", str(own), str(own), "--remount-ro", "/", "--chdir", str(own / "work"), "--"]


def works(folder):
    """Can bubblewrap build these walls on this system?"""
    (folder / "work").mkdir(exist_ok=True)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run([*walls(folder), "true"], capture_output=True, timeout=20).returncode == 0
    return False


def run(command, own, readable, environment, options):
    """Run a command in its sandbox, with its output in a log beside `own`; returns what went wrong in a line, or ''."""
    prefix = [] if options.unsafe else walls(own, readable)
    path = own.with_suffix(".log")  # not in the folder itself, where a submission may put a link in its place
    with open(path, "ab") as log:
        process = subprocess.Popen(
            [*prefix, *command], cwd=own / "work", env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        trouble = watch(process, own, options)
    if not trouble and process.returncode:
        lines = path.read_bytes()[-10_000:].decode("utf-8", "replace").split("\n")
        trouble = next((line.strip()[:200] for line in reversed(lines) if line.strip()), "ended without a word")
    return trouble


def watch(process, own, options):
    """Wait for a process; kill it and all it has started once it goes over a limit; returns which, or ''."""
    start, trouble, turn = time.monotonic(), "", 0
    while process.poll() is None:
        time.sleep(0.5)
        turn += 1
        tree, used = family(process.pid), 0
        for member in tree:
            with contextlib.suppress(psutil.Error):
                used += member.memory_info().rss
        if STOP.is_set():
            trouble = "stopped"
        elif time.monotonic() - start > options.seconds:
            trouble = f"stopped after {options.seconds} seconds"
        elif used > options.memory_mib * 2**20:
            trouble = f"stopped: more than {options.memory_mib} MiB of memory"
        elif len(tree) > PROCESSES:
            trouble = f"stopped: more than {PROCESSES} processes"
        elif turn % 4 == 0 and size(own) > 4 * MOST_FILE:
            trouble = f"stopped: more than {4 * MOST_FILE // 2**20} MiB of files"
        if trouble:
            for member in family(process.pid):
                with contextlib.suppress(psutil.Error):
                    member.kill()
            process.wait()
    if STOP.is_set():
        raise Stopped
    return trouble


def family(pid):
    """A process, all that it has started, and what that has started."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def size(folder):
    """Bytes that the files in a folder take."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total
