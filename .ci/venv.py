"""Make the virtual environment of the Makefile: python .ci/venv.py .venv

Called twice at once, the second call waits for the first. What was interrupted is done again.
"""

import contextlib
import fcntl
import platform
import subprocess
import sys
from pathlib import Path

NEEDED = [Path(name) for name in ("requirements.txt", "requirements-dev.txt", "requirements.lock", "pyproject.toml")]
# The README has the same for those without make.
PACKAGES = ["--requirement", "requirements-dev.txt", "--constraint", "requirements.lock", "--editable", "."]


def run(*command: str) -> bool:
    """Did the command succeed?"""
    return subprocess.run(command).returncode == 0


def with_uv(python: str) -> bool:
    """Install with uv, which takes a third of pip's time; False if that is not possible."""
    settings = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    if ".index-url=" in settings or ".no-index=" in settings:  # uv does not know where pip was told to look
        return False
    return run(
        *(python, "-m", "pip", "install", "--quiet", "--only-binary", "uv", "--constraint", "requirements.lock", "uv")
    ) and run(python, "-m", "uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *PACKAGES)


def with_pip(python: str) -> bool:
    """Install with pip."""
    print("Without uv: pip takes a few minutes longer", flush=True)
    return run(python, "-m", "pip", "install", "--quiet", *PACKAGES)


def main(folder: str) -> int:
    """Create the environment and install what is pinned, unless that has been done; returns the exit code."""
    if not (3, 11) <= sys.version_info < (3, 14):
        print("Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 ...", file=sys.stderr)
        return 1
    with open(f"{folder}.lock", "a") as file:  # NFS locks only what is open for writing
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        # One stamp for the whole environment: it is newer than what it was made from, or it is made again.
        ready = Path(folder, "ready")
        if ready.exists() and ready.stat().st_mtime >= max(path.stat().st_mtime for path in NEEDED):
            return 0
        print(f"Setting up {folder} with Python {platform.python_version()}: 3 GB, a minute or more", flush=True)
        ready.unlink(missing_ok=True)
        python = f"{folder}/bin/python"
        fresh = ["--clear"] if Path(folder, "pyvenv.cfg").exists() else []  # half of a package may be there
        try:
            done = run(sys.executable, "-m", "venv", *fresh, folder) and (with_uv(python) or with_pip(python))
        except KeyboardInterrupt:
            return 130
        if not done:
            print(f"{folder} could not be set up; when the cause is gone, run the same again", file=sys.stderr)
            return 1
        ready.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
