"""Write the newest versions that go together into requirements.txt. Nothing is installed: pip only works them out."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"


def main():
    """Ask pip for the newest set, and put its versions in place of the old ones."""
    text = REQUIREMENTS.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        unpinned = Path(folder, "unpinned.txt")
        unpinned.write_text(re.sub(r"==\S+", "", text), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", f"{folder}/report.json", "--requirement", str(unpinned)]
        if subprocess.run(command).returncode:
            return 1
        report = json.loads(Path(folder, "report.json").read_text(encoding="utf-8"))
    newest = {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in report["install"]}

    def raised(match):
        name, version, space = match.groups()
        if newest[name.lower()] != version:
            print(f"{name}: {version} -> {newest[name.lower()]}")
        pin = f"{name}=={newest[name.lower()]}"
        return pin.ljust(len(match[0])) if space else pin

    REQUIREMENTS.write_text(re.sub(r"^([\w-]+)==(\S+)( *)", raised, text, flags=re.M), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
