#!/usr/bin/env bash
# Runs the unit tests of unsafe code with the address sanitizer, and those of threads with the thread sanitizer.
#
# usage: Scripts/sanitize.sh [address] [thread]      default: both
#
# The tests of the program run the program of the same build, so the sanitizer checks the program too. The builds are in
# .build-address and .build-thread. Where the toolchain lacks a sanitizer, the script prints that and does not fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# WeightMapping has no unsafe code (YAML below it is fuzzed with the address sanitizer), and its tests would take half of
# the time. Test targets that are not named are not built.
unsafe='TensorIOTests CheckpointFormatsTests CheckpointReadersTests NativeFormatTests ConversionTests ComparisonTests
  EncoderTests VerificationTests InspectionTests ReportsTests bertconvTests'
# The tests of code that starts threads, and two suites of the program from end to end.
threaded='TensorIOTests NativeFormatTests ConversionTests EncoderTests VerificationTests bertconvTests'
suites='(TensorIO|NativeFormat|Conversion|Encoder|Verification)Tests[.]|bertconvTests[.](EndToEnd|Precision)Tests'
# Every byte of a file changed, one after the other, tests nothing of threads; for memory, the fuzzers do the same and more.
export BERTCONV_QUICK=1
# The default linker of the system does not find the runtimes of the sanitizers.
linker=-use-ld=lld

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'print("linked")' >"$probe/probe.swift"

run() {
  local kind=$1 targets=$2
  shift 2
  if ! swiftc -sanitize="$kind" "$linker" "$probe/probe.swift" -o "$probe/probe" >"$probe/log" 2>&1; then
    echo "sanitize.sh: this toolchain has no $kind sanitizer; its tests are skipped:" >&2
    tail -3 "$probe/log" >&2
    return
  fi
  # The kernels are C; without optimization they would take most of the time. What a sanitizer prints needs lines alone.
  BERTCONV_TESTS=$(tr -s ' \n' ' ' <<<"$targets") \
    swift test --sanitize="$kind" --scratch-path ".build-$kind" -Xswiftc "$linker" -Xswiftc -gline-tables-only -Xcc -O1 "$@"
}

for kind in "${@:-address thread}"; do
  for one in $kind; do
    case $one in
      # The Swift runtime never frees its descriptions of types, which the sanitizer takes for leaks.
      # These limit the memory of the program and stop it at certain points, which a sanitizer changes.
      address) ASAN_OPTIONS=detect_leaks=0 run address "$unsafe" --skip 'FaultTests|EnvironmentTests' ;;
      thread) run thread "$threaded" --filter "$suites" ;;
      *) echo "sanitize.sh: unknown sanitizer '$one' (address or thread)" >&2; exit 64 ;;
    esac
  done
done
