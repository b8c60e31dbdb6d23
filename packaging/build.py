"""Build what people install: the frozen one-folder app, and on Debian or Ubuntu its .deb.

    python packaging/build.py [--no-deb]

Everything is made in build/ and dist/. The frozen app is run with --self-check before it is
packed: an app that starts but cannot size, probe or print a report is not shipped.
"""

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
from email.utils import formatdate
from importlib import metadata
from pathlib import Path

from ship_buffers import ship

from advisor import third_party

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
TREE = DIST / "rig-advisor"
VERSION = metadata.version("rig-advisor")
SELF_CHECK_SECONDS = 300

# A missing one means that a double click does nothing (xcb) or that no text is drawn.
DEPENDS = (
    "libegl1, libgl1, libfontconfig1, libfreetype6, libdbus-1-3, libxkbcommon0, "
    "libxkbcommon-x11-0, libx11-xcb1, libxcb-cursor0, libxcb-icccm4, libxcb-image0, "
    "libxcb-keysyms1, libxcb-randr0, libxcb-render-util0, libxcb-shape0, libxcb-sync1, "
    "libxcb-xfixes0, libxcb-xkb1, libglib2.0-0 | libglib2.0-0t64, libgomp1"
)


def freeze() -> None:
    """Run PyInstaller."""
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    command += ["--distpath", str(DIST), "--workpath", str(ROOT / "build" / "pyinstaller")]
    subprocess.run([*command, str(ROOT / "packaging" / "rig-advisor.spec")], check=True, cwd=ROOT)


def self_check(program: Path) -> None:
    """The frozen app must go through the whole chain and say that it is ready."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    run = subprocess.run(
        [str(program), "--self-check"],
        capture_output=True,
        text=True,
        timeout=SELF_CHECK_SECONDS,
        env=environment,
        check=False,
    )
    print(run.stdout, end="")
    if run.returncode or "ready" not in run.stdout.split():
        sys.exit(f"The frozen app failed its self-check ({run.returncode}).\n{run.stderr}")


def glibc_floor(tree: Path) -> str:
    """The newest glibc that anything in the tree asks for, read from its symbol versions."""
    newest = (2, 34)
    for file in tree.rglob("*"):
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            if content.startswith(b"\x7fELF"):
                found = re.findall(rb"GLIBC_(\d+)\.(\d+)", content)
                newest = max([newest, *((int(a), int(b)) for a, b in found)])
    return ".".join(map(str, newest))


def build_deb() -> Path:
    """Pack dist/rig-advisor as a .deb with desktop entry, icons and metainfo."""
    stage = ROOT / "build" / "deb"
    shutil.rmtree(stage, ignore_errors=True)
    share = stage / "usr" / "share"
    shutil.copytree(TREE, stage / "opt" / "rig-advisor", symlinks=True)
    (stage / "usr" / "bin").mkdir(parents=True)
    (stage / "usr" / "bin" / "rig-advisor").symlink_to("/opt/rig-advisor/rig-advisor")
    linux = ROOT / "packaging" / "linux"
    for source, target in (
        (linux / "rig-advisor.desktop", share / "applications" / "rig-advisor.desktop"),
        (linux / "rig-advisor.metainfo.xml", share / "metainfo" / "rig-advisor.metainfo.xml"),
        (linux / "rig-advisor-mime.xml", share / "mime" / "packages" / "rig-advisor.xml"),
        (linux / "copyright", share / "doc" / "rig-advisor" / "copyright"),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    icons = share / "icons" / "hicolor"
    for icon in (ROOT / "resources" / "icons").glob("rig-advisor-*.png"):
        size = icon.stem.rpartition("-")[2]
        folder = icons / f"{size}x{size}" / "apps"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(icon, folder / "rig-advisor.png")
    scalable = icons / "scalable" / "apps"
    scalable.mkdir(parents=True)
    shutil.copyfile(ROOT / "resources" / "icons" / "rig-advisor.svg", scalable / "rig-advisor.svg")
    entry = f"rig-advisor ({VERSION}) stable; urgency=medium\n\n  * See README.md.\n\n"
    entry += f" -- Rig Advisor <maintainers@users.noreply.example>  {formatdate(usegmt=True)}\n"
    changelog = share / "doc" / "rig-advisor" / "changelog.Debian.gz"
    changelog.write_bytes(gzip.compress(entry.encode(), mtime=0))
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    size = sum(f.stat().st_size for f in stage.rglob("*") if f.is_file() and not f.is_symlink())
    control = stage / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        "Package: rig-advisor\n"
        f"Version: {VERSION}\n"
        f"Architecture: {architecture}\n"
        "Maintainer: Rig Advisor <maintainers@users.noreply.example>\n"
        f"Installed-Size: {size // 1024}\n"
        f"Depends: libc6 (>= {glibc_floor(TREE)}), {DEPENDS}\n"
        "Section: utils\n"
        "Priority: optional\n"
        "Description: what language models this machine can run, and how fast\n"
        " Reads the machine, sizes large language models on it, measures them with a\n"
        " short llama.cpp probe, and says whether to keep, tune, upgrade or pay for an\n"
        " API. Works without the internet.\n",
        encoding="utf-8",
    )
    package = DIST / f"rig-advisor_{VERSION}_{architecture}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-z6", "--build", str(stage), str(package)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return package


def main() -> None:
    """Freeze, check, pack."""
    parser = argparse.ArgumentParser(description="Build the frozen app and its .deb.")
    parser.add_argument("--no-deb", action="store_true", help="stop after the frozen tree")
    arguments = parser.parse_args()
    freeze()
    print(ship(TREE / "_internal" / "resources"), "compute buffers shipped")
    (TREE / "THIRD-PARTY.txt").write_text(third_party.notices(), encoding="utf-8")
    self_check(TREE / ("rig-advisor.exe" if os.name == "nt" else "rig-advisor"))
    print(TREE)
    if not arguments.no_deb and shutil.which("dpkg-deb"):
        print(build_deb())


if __name__ == "__main__":
    main()
