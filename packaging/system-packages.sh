#!/bin/sh
# Make sure that the system libraries Qt and the embedded llama.cpp load are there (Debian, Ubuntu).
# As root it installs what is missing; otherwise it says what to install and goes on.
set -eu
command -v dpkg-query >/dev/null 2>&1 || exit 0
wanted="libegl1 libgl1 libglx0 libopengl0 libfontconfig1 libfreetype6 libdbus-1-3 libxkbcommon0
libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0
libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0 libxcb-xkb1 libgomp1 libstdc++6 gcc libc6-dev python3-venv"
# Debian 13 and Ubuntu 24.04 renamed GLib for 64-bit time.
if apt-cache show libglib2.0-0t64 >/dev/null 2>&1; then wanted="$wanted libglib2.0-0t64"; else wanted="$wanted libglib2.0-0"; fi
missing=""
for package in $wanted; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
  echo "Installing system libraries:$missing"
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "Rig Advisor may need these packages: sudo apt-get install$missing" >&2
fi
