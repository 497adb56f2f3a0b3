"""Write requirements.lock from the two requirements files: python .ci/pins.py [--raise]

With --raise, the newest versions that go together are written into the requirements files first. Nothing is installed.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = [ROOT / "requirements.txt", ROOT / "requirements-dev.txt"]
PIN = re.compile(r"^([\w-]+)==(\S+)( *)", re.M)


def lock(source: Path, target: Path, *options: str) -> None:
    """Have uv choose one version of each package, for Python 3.11 and later on Linux, macOS and Windows."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate", "--universal"]
    command += ["--python-version", "3.11", "--fork-strategy", "fewest", *options, source.name, "--output-file", target]
    environment = {**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make lock"}  # the head of the file names no folder
    subprocess.run(command, cwd=source.parent, env=environment, check=True)


def raise_pins() -> None:
    """Put the newest versions in place of the old ones."""
    with tempfile.TemporaryDirectory() as folder:
        for file in FILES:
            Path(folder, file.name).write_text(PIN.sub(r"\1\3", file.read_text("utf-8")), "utf-8")
        lock(Path(folder, FILES[-1].name), Path(folder, "new.lock"))
        newest = {name: version for name, version, _ in PIN.findall(Path(folder, "new.lock").read_text("utf-8"))}

    def raised(match):
        name, version, space = match.groups()
        if newest[name] != version:
            print(f"{name}: {version} -> {newest[name]}")
        return f"{name}=={newest[name]}".ljust(len(match[0]) if space else 0)

    for file in FILES:
        file.write_text(PIN.sub(raised, file.read_text("utf-8")), "utf-8")


def main(arguments: list[str]) -> int:
    """Raise the pins if that is asked for, then lock; returns the exit code."""
    try:
        if arguments == ["--raise"]:
            raise_pins()
        lock(FILES[-1], ROOT / "requirements.lock", *(["--upgrade"] if arguments else []))
    except subprocess.CalledProcessError as error:  # uv has said why
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
