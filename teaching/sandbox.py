"""Somebody else's program: what it can see, and what it may use. bubblewrap keeps the walls, `watch` the limits."""

import contextlib
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
MOST_MIB = 2048  # of all its files
STOP = threading.Event()  # set when the grading is stopped: nothing that it started may go on


def walls(own, readable=(), writable=()):
    """The beginning of a command that may write to `own` and `writable` only, and read the system and `readable`.

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
    for way, paths in (("--ro-bind", readable), ("--bind", (own, *writable))):
        options += [part for path in map(str, paths) for part in (way, path, path)]
    return ["bwrap", *options, "--remount-ro", "/", "--chdir", str(own / "work"), "--"]


def works(folder):
    """Can bubblewrap build these walls on this system?"""
    (folder / "work").mkdir(exist_ok=True)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run([*walls(folder), "true"], capture_output=True, timeout=20).returncode == 0
    return False


def run(command, own, log, environment, options):
    """Run a command; adds what it says to a log. Returns what went wrong in a line, or ''."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, cwd=own / "work", env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        trouble = watch(process, own, options)
    if not trouble and process.returncode:
        lines = log.read_bytes()[-10_000:].decode("utf-8", "replace").split("\n")
        trouble = next((line.strip()[:200] for line in reversed(lines) if line.strip()), "ended without a word")
    return trouble


def watch(process, own, options):
    """Wait for a process; kill it and all it has started once it goes over a limit; returns which, or ''."""
    start, trouble, turn = time.monotonic(), "", 0
    try:
        while process.poll() is None and not trouble:
            time.sleep(0.5)
            tree, used, turn = family(process.pid), 0, turn + 1
            for member in tree:
                with contextlib.suppress(psutil.Error):
                    used += member.memory_info().rss
            over = {
                "stopped": STOP.is_set(),
                f"stopped after {options.seconds} seconds": time.monotonic() - start > options.seconds,
                f"stopped: more than {options.memory_mib} MiB of memory": used > options.memory_mib * 2**20,
                f"stopped: more than {PROCESSES} processes": len(tree) > PROCESSES,
                f"stopped: more than {MOST_MIB} MiB of files": turn % 4 == 0 and mebibytes(own) > MOST_MIB,
            }
            trouble = next(filter(over.get, over), "")
    finally:
        tree = family(process.pid) if process.poll() is None else []
        for member in tree:
            with contextlib.suppress(psutil.Error):
                member.kill()
        process.wait()
        psutil.wait_procs(tree, timeout=10)  # a large one takes a while to go
    return trouble


def family(pid):
    """A process, all that it has started, and what that has started."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def mebibytes(folder):
    """What the files in a folder take."""
    said = subprocess.run(["du", "-sm", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.split()
    return int(said[0]) if said else 0
