#!/usr/bin/env bash
# Installs the Debian packages that are missing. "build" (the default): what building and running needs;
# "test": also what the test suite drives (a real Samba server, ffprobe).
set -euo pipefail

packages=(pkg-config libinotifytools0-dev libopenblas-dev libavformat-dev libavcodec-dev libswscale-dev libswresample-dev libavutil-dev
    libjpeg-dev libpng-dev libsentencepiece-dev libsqlite3-dev)
if [[ "${1:-build}" == test ]]; then
    packages+=(samba smbclient libsmbclient-dev ffmpeg)
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    exit 0
fi

echo "Installing: ${missing[*]}"
as_root=()
if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || {
        echo "error: these packages are missing and sudo is not there: ${missing[*]}" >&2
        echo "hint: run as root: apt-get install ${missing[*]}" >&2
        exit 69
    }
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
