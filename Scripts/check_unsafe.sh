#!/usr/bin/env bash
# Fails where Swift code leaves what the compiler checks and no comment explains why that is right:
#   a file with `unsafe` in its code needs a comment that begins with "Memory safety:";
#   `@unchecked Sendable` and `nonisolated(unsafe)` need "Thread safety:" in the comment above them, or on their line.
#
# usage: Scripts/check_unsafe.sh [folder]      default: Sources
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find "${1:-Sources}" -name '*.swift' -print0 | sort -z | xargs -0 awk '
  function finish() {
    if (uses && !explained) fail(file, "unsafe code without a comment that begins with \"Memory safety:\"")
  }
  function fail(location, problem) { print "check_unsafe.sh: " location ": " problem >"/dev/stderr"; failed = 1 }

  FNR == 1 { finish(); file = FILENAME; uses = explained = 0; above = "" }
  {
    code = $0
    sub(/(^|[ \t])\/\/.*/, "", code)
    comment = substr($0, length(code) + 1)
    if (code ~ /(^|[^A-Za-z0-9_])unsafe([^A-Za-z0-9_]|$)/) uses = 1
    if (comment ~ /^[ \t]*\/\/\/? Memory safety: /) explained = 1
    if (code ~ /@unchecked +Sendable|nonisolated\(unsafe\)/ && above comment !~ /Thread safety: /)
      fail(file ":" FNR, "shared between threads unchecked, without \"Thread safety:\" above or on the line")
    # The lines directly above a declaration: comments and attributes, without a blank line between.
    above = $0 !~ /^[ \t]*$/ && code ~ /^[ \t]*(@[A-Za-z]+[ \t]*)*$/ ? above comment : ""
  }
  END { finish(); exit failed }
'
