#!/usr/bin/env bash
# Builds the reference of the libraries, one site of all: .build/docs. Any warning ends it.
#
# usage: Scripts/build_docs.sh
#
# By the toolchain's own docc and symbol graphs: a package that depends on this one gets no plugin for it. A library's pages
# refer to those of the libraries below it, so these are built first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

libraries=(TensorIO CheckpointReaders CheckpointWriters NativeFormat WeightMapping Encoder Verification)
toolchain=$(swift -print-target-info | sed -nE 's|.*"runtimeResourcePath": "(.*)/lib/swift".*|\1|p')
docc=$toolchain/bin/docc
[ -x "$docc" ] || docc=$(command -v docc)

swift package dump-symbol-graph --minimum-access-level public --skip-synthesized-members >/dev/null
graphs=$(swift build --show-bin-path)/../symbolgraph

rm -rf .build/docs .build/docc
mkdir -p .build/docc
archives=()
for library in "${libraries[@]}"; do
  mkdir .build/docc/"$library"
  # With its extensions of other modules: LIBRARY@OTHER.
  cp "$graphs/$library.symbols.json" .build/docc/"$library"
  for extension in "$graphs/$library"@*.symbols.json; do
    [ ! -e "$extension" ] || cp "$extension" .build/docc/"$library"
  done
  "$docc" convert Sources/"$library/$library.docc" --additional-symbol-graph-dir .build/docc/"$library" \
    --fallback-display-name "$library" --fallback-bundle-identifier "bertconv.$library" \
    --fallback-default-module-kind Library --enable-experimental-external-link-support \
    "${archives[@]/#/--dependency=}" --warnings-as-errors --output-path .build/docc/"$library.doccarchive"
  archives+=(.build/docc/"$library.doccarchive")
done
"$docc" merge "${archives[@]}" --synthesized-landing-page-name bertconv --synthesized-landing-page-kind Package \
  --output-path .build/docs
echo "the reference is in .build/docs; any web server shows it: python3 -m http.server -d .build/docs"
