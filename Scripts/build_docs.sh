#!/usr/bin/env bash
# Builds the reference of all libraries as one site, .build/docs. A warning is an error.
#
# usage: Scripts/build_docs.sh
#
# Uses the docc and the symbol graphs of the toolchain, so that packages that depend on this one need no plugin. The pages of
# a library refer to the libraries that it uses, so those are built first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

libraries=(TensorIO CheckpointFormats CheckpointReaders CheckpointWriters NativeFormat ModelFamilies WeightMapping Conversion
  Comparison Encoder Verification Inspection)
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
  # The extensions of other modules: LIBRARY@OTHER.
  cp "$graphs/$library.symbols.json" .build/docc/"$library"
  for extension in "$graphs/$library"@*.symbols.json; do
    [ ! -e "$extension" ] || cp "$extension" .build/docc/"$library"
  done
  catalog=()
  [ ! -d Sources/"$library/$library.docc" ] || catalog=(Sources/"$library/$library.docc")
  "$docc" convert "${catalog[@]}" --additional-symbol-graph-dir .build/docc/"$library" \
    --fallback-display-name "$library" --fallback-bundle-identifier "bertconv.$library" \
    --fallback-default-module-kind Library --enable-experimental-external-link-support \
    "${archives[@]/#/--dependency=}" --warnings-as-errors --output-path .build/docc/"$library.doccarchive"
  archives+=(.build/docc/"$library.doccarchive")
done
"$docc" merge "${archives[@]}" --synthesized-landing-page-name bertconv --synthesized-landing-page-kind Package \
  --output-path .build/docs
echo "the reference is in .build/docs; view it with: python3 -m http.server -d .build/docs"
