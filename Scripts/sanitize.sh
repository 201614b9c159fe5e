#!/usr/bin/env bash
# Runs the unit tests in builds that watch the memory (address sanitizer) and the threads (thread sanitizer).
#
# usage: Scripts/sanitize.sh [address] [thread]      both, unless told otherwise
#
# The tests of the program run it as it was built with them, so it is watched as well. The builds lie in .build-address and
# .build-thread. A toolchain without a sanitizer's runtime is no failure: it is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# FaultTests limit the memory of the program and wait for moments of its work, which a sanitizer changes.
skipped=FaultTests
# What starts threads, and the program from end to end; the rest would take as long again.
threaded='EncoderTests|VerificationTests|NativeFormatTests|TensorIOTests|OrderedWorkerPoolTests|EndToEndTests|PrecisionTests'
# The system's default linker does not find the runtimes of the sanitizers.
linker=-use-ld=lld

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'print("linked")' >"$probe/probe.swift"

run() {
  local kind=$1
  shift
  if ! swiftc -sanitize="$kind" "$linker" "$probe/probe.swift" -o "$probe/probe" >"$probe/log" 2>&1; then
    echo "sanitize.sh: this toolchain has no $kind sanitizer; its tests are left out:" >&2
    tail -3 "$probe/log" >&2
    return
  fi
  swift test --sanitize="$kind" --scratch-path ".build-$kind" -Xswiftc "$linker" "$@"
}

for kind in "${@:-address thread}"; do
  for one in $kind; do
    case $one in
      # Swift's runtime keeps what it made of the program's types, which counts as a leak.
      address) ASAN_OPTIONS=detect_leaks=0 run address --skip "$skipped" ;;
      thread) run thread --filter "$threaded" ;;
      *) echo "sanitize.sh: unknown sanitizer '$one' (address or thread)" >&2; exit 64 ;;
    esac
  done
done
