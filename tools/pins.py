"""Pin every package that the direct dependencies in pyproject.toml need: python -m tools.pins [--raise]

Writes requirements.txt, requirements-dev.txt, and the same for `uv run` into pyproject.toml, for Python 3.11 and later
on Linux, macOS and Windows. With --raise, the newest versions that go together come first. Nothing is installed.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r'^( *")([\w-]+)==([^"\s]+)(",? *)', re.M)
CONSTRAINTS = re.compile(r"(?<=^constraint-dependencies = \[\n).*?(?=^\])", re.M | re.S)


def choose_versions(folder: Path, target: str, *options: str) -> None:
    """Have uv write one version of each package to `target`, a file that stays as it is as far as that goes."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--universal",
    ]
    command += ["--no-annotate", "--python-version", "3.11", "--fork-strategy", "fewest"]
    command += [*options, "pyproject.toml", "--output-file", target]
    # The head of the file names this command in place of uv's, which has a folder in it.
    environment = os.environ | {"UV_CUSTOM_COMPILE_COMMAND": "make pins"}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def raised(project: str) -> str:
    """The text of pyproject.toml with the newest versions of its direct dependencies."""
    head, mark, constraints = project.partition("[tool.uv]")
    newest = newest_versions(PIN.sub(r"\1\2\4", head))

    def newer(pin):
        before, package, version, after = pin.groups()
        fresh = newest[package]
        if fresh != version:
            print(f"{package}: {version} -> {fresh}")
        line = f"{before}{package}=={fresh}{after.rstrip()}"
        return line.ljust(len(pin[0]))

    return PIN.sub(newer, head) + mark + constraints


def newest_versions(project: str) -> dict[str, str]:
    """{package: version} of all that a pyproject.toml without versions needs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text(project, "utf-8")
        choose_versions(folder, "newest.txt", "--group", "dev")
        lines = (folder / "newest.txt").read_text("utf-8")
    return dict(re.findall(r"^([\w-]+)==(\S+)", lines, re.M))


def pin(*options: str) -> None:
    """Write both requirements files, and the constraints into pyproject.toml."""
    choose_versions(ROOT, "requirements-dev.txt", "--group", "dev", *options)
    choose_versions(ROOT, "requirements.txt", "--constraint", "requirements-dev.txt", "--upgrade")
    constraints = ""
    for line in (ROOT / "requirements-dev.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            constraints += f'  "{line}",\n'
    project = ROOT / "pyproject.toml"
    before, after = CONSTRAINTS.split(project.read_text("utf-8"))
    project.write_text(before + constraints + after, "utf-8")


def main(arguments: list[str]) -> int:
    """Raise the direct dependencies if that is asked for, then pin all; returns the exit code."""
    try:
        if arguments != ["--raise"]:
            pin()
            return 0
        project = ROOT / "pyproject.toml"
        project.write_text(raised(project.read_text("utf-8")), "utf-8")
        pin("--upgrade")
    except subprocess.CalledProcessError as error:  # uv has said why
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
