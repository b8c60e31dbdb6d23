"""Put the table that `rig-advisor accuracy --markdown` prints into README.md."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
PLACE = re.compile(r"(<!-- accuracy -->\n).*?(<!-- /accuracy -->)", re.DOTALL)


def main() -> None:
    """Run the command and replace what stands between the marks."""
    command = [sys.executable, "-m", "advisor", "accuracy", "--markdown"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    text, count = PLACE.subn(
        lambda place: f"{place[1]}\n{run.stdout.strip()}\n\n{place[2]}",
        README.read_text(encoding="utf-8"),
    )
    if count != 1:
        sys.exit("README.md has lost its accuracy marks.")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
