#!/usr/bin/env bash
# Installs the packages that the build needs and that the machine does not have.
#
# usage: Scripts/deps.sh [python | browser]
#
# Without an argument: the C libraries, pkg-config and make. With `python`: also the packages for a virtual
# environment. With `browser`: also the browser that the tests of the HTML pages use, on Debian.
# Prints nothing and is quick when nothing is missing. Checks for Swift, but does not install it.
set -euo pipefail

packages=(libprotobuf-c-dev zlib1g-dev libopenblas-dev libsnappy-dev libyaml-dev libdnnl-dev pkg-config make)
case "${1-}" in
  "") ;;
  python) packages+=(python3 python3-venv) ;;
  browser) packages+=(chromium-driver) ;; # depends on chromium
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "deps.sh: unknown argument '$1' (expected 'python' or 'browser')" >&2; exit 64 ;;
esac

fail() {
  printf 'deps.sh: %s\n' "$@" >&2
  exit 1
}

# Whether the contents of a package are installed, by whatever means.
has() {
  case "$1" in
    libprotobuf-c-dev) pkg-config --exists libprotobuf-c ;;
    zlib1g-dev) pkg-config --exists zlib ;;
    libopenblas-dev) pkg-config --exists openblas ;;
    libsnappy-dev) pkg-config --exists snappy ;;
    libyaml-dev) pkg-config --exists yaml-0.1 ;;
    # Without oneDNN the program is only slower: without apt-get nobody is asked to install it.
    libdnnl-dev) [ -e /usr/include/oneapi/dnnl/dnnl.h ] || [ -e /usr/local/include/oneapi/dnnl/dnnl.h ] || ! command -v apt-get ;;
    # Only Debian has a package of this name. Elsewhere the tests are skipped unless both programs are installed.
    chromium-driver)
      { command -v chromedriver && { command -v chromium || command -v google-chrome; }; } || ! grep -qx 'ID=debian' /etc/os-release
      ;;
    pkg-config | make | python3) command -v "$1" ;;
    python3-venv) python3 -c 'import ensurepip, venv' ;;
  esac >/dev/null 2>&1
}

look() {
  missing=()
  local package
  for package in "${packages[@]}"; do
    has "$package" || missing+=("$package")
  done
}

look
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || fail \
    "this machine lacks ${missing[*]} (Debian's names) and has no apt-get to install them." \
    "Install the same libraries with your own package manager, with their headers and pkg-config files:" \
    "protobuf-c, zlib, OpenBLAS, snappy, libyaml; and the programs pkg-config and make."
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail \
      "this machine lacks ${missing[*]}; run this as root, because there is no sudo:" \
      "  apt-get update && apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "deps.sh: installing ${missing[*]} with apt-get" >&2
  "${as_root[@]}" apt-get -q update >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q install -y --no-install-recommends "${missing[@]}" >&2
  look
  [ "${#missing[@]}" -eq 0 ] || fail "apt-get succeeded, but these are still not found: ${missing[*]}"
fi

command -v swift >/dev/null || fail \
  "swift is not on the PATH. bertconv needs Swift 6.2 or later: see https://www.swift.org/install/linux/"
