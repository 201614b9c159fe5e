#!/usr/bin/env bash
# Runs the unit tests in builds that watch the memory (address sanitizer) and the threads (thread sanitizer).
#
# usage: Scripts/sanitize.sh [address] [thread]      both, unless told otherwise
#
# The builds lie in .build-address and .build-thread. Of the tests the thread sanitizer gets those that start threads.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What the threads share: the encoder, verification, conversion and its files.
threaded='EncoderTests|VerificationTests|NativeFormatTests|TensorIOTests'

run() {
  local kind=$1
  shift
  # The system's default linker does not find the runtimes of the sanitizers.
  swift test --sanitize="$kind" --scratch-path ".build-$kind" -Xswiftc -use-ld=lld "$@"
}

for kind in "${@:-address thread}"; do
  for one in $kind; do
    case $one in
      # Swift's runtime keeps what it made of the program's types, which counts as a leak. FaultTests wait for the program.
      address) ASAN_OPTIONS=detect_leaks=0 run address --skip FaultTests ;;
      # Swift's locks wait in a way that the sanitizer does not see.
      thread) TSAN_OPTIONS="suppressions=$PWD/.ci/threads.supp" run thread --filter "$threaded" ;;
      *) echo "sanitize.sh: unknown sanitizer '$one' (address or thread)" >&2; exit 64 ;;
    esac
  done
done
