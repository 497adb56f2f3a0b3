"""Make the virtual environment of the Makefile: python .ci/venv.py .venv

Called twice at once, the second call waits for the first. What was interrupted is done again.
"""

import contextlib
import platform
import subprocess
import sys
from pathlib import Path

NEEDED = [Path("requirements.txt"), Path("pyproject.toml")]


def commands(python, folder):
    """What makes the environment, in order; the README has the same for those without make."""
    install = ["-m", "pip", "install", "--quiet", "--requirement", "requirements.txt", "--editable", "."]
    return [[python, "-m", "venv", folder], [f"{folder}/bin/python", *install]]


def main(folder):
    """Create the environment and install what is pinned, unless that has been done; returns the exit code."""
    if not (3, 11) <= sys.version_info < (3, 14):
        print("Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 ...", file=sys.stderr)
        return 1
    with open(NEEDED[0]) as lock:
        with contextlib.suppress(ImportError):  # Windows has other locks; it has no make either
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        # One stamp for the whole environment: it is newer than what it was made from, or it is made again.
        ready = Path(folder, "ready")
        if ready.exists() and ready.stat().st_mtime >= max(path.stat().st_mtime for path in NEEDED):
            return 0
        print(f"Setting up {folder} with Python {platform.python_version()}: 3 GB, a few minutes", flush=True)
        for command in commands(sys.executable, folder):
            if subprocess.run(command).returncode:
                print(f"{folder} could not be set up; when the cause is gone, run the same again", file=sys.stderr)
                return 1
        ready.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
