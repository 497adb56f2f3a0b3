"""What this machine is: its processor, the memory that is free. The ground floor."""

import contextlib
import platform
import re
from pathlib import Path

import psutil

PROCESSORS = Path(
    "/proc/cpuinfo"
)  # Linux's own name for the processor; Python knows its family only
# Where Linux says how much memory a container may take, by the version of its control groups.
MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = PROCESSORS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        lines = ""
    named = re.search(r"^model name\s*: (.+)$", lines, re.M)
    return named[1] if named else platform.processor() or platform.machine()


def free_memory() -> int:
    """Bytes that this process may still take."""
    memory = psutil.virtual_memory().available
    for limit in MEMORY_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            memory = min(memory, int(limit.read_text()) - psutil.Process().memory_info().rss)
    return memory
