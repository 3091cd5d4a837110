#!/usr/bin/env bash
# Installs the Debian packages that are missing. "build" (the default): what building and running needs;
# "test": also what the test suite drives (a real Samba server, ffprobe) and the compiler of the CUDA kernels.
set -euo pipefail

packages=(pkg-config libinotifytools0-dev libopenblas-dev libavformat-dev libavcodec-dev libswscale-dev libswresample-dev libavutil-dev
    libjpeg-dev libpng-dev libsentencepiece-dev libsqlite3-dev)
if [[ "${1:-build}" == test ]]; then
    packages+=(samba smbclient libsmbclient-dev ffmpeg python3-pip)
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
# NVIDIA's run-time compiler: kernels compile without a GPU. A folder of its own, nothing is installed.
fetch_compiler() {
    local folder version=13.0.88
    folder=$(dirname "$0")/../.build/cuda-compiler
    [[ "$(cat "$folder/version" 2>/dev/null)" == "$version" ]] && return 0
    echo "Fetching the CUDA kernel compiler $version (90 MB)"
    rm -rf "$folder"
    if ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --target "$folder" \
        "nvidia-cuda-nvrtc==$version"; then
        echo "error: nvidia-cuda-nvrtc $version could not be fetched from the Python package index" >&2
        echo "hint: the tests that compile the CUDA kernels need it" >&2
        exit 69
    fi
    echo "$version" >"$folder/version"
}

if ((${#missing[@]} == 0)); then
    if [[ "${1:-build}" == test ]]; then fetch_compiler; fi
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
if [[ "${1:-build}" == test ]]; then fetch_compiler; fi
