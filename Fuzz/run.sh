#!/usr/bin/env bash
# Fuzzes the parsers: libFuzzer with the address sanitizer, seeded by the fixtures.
#
# usage: Fuzz/run.sh [SECONDS] [PARSER ...]      60 seconds of each parser unless told otherwise
#
# A find stays in Fuzz/found/PARSER-…: mend the parser, then move the file to Fuzz/FailCases, where the unit tests run it.
# The corpus that grows lies in Fuzz/.corpus/PARSER and is used again. Exit status 1 when something was found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-60}
shift || true
flags=(-c release -Xswiftc -sanitize=fuzzer,address -Xswiftc -enable-testing
  -Xswiftc -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -Xcc -fsanitize=address
  -Xswiftc -parse-as-library)
swift build "${flags[@]}" >&2
fuzz=$(swift build "${flags[@]}" --show-bin-path)/fuzz
fixtures=../Tests/Fixtures

# What each parser begins with: fixtures that are small enough to be changed often.
seeds() {
  case $1 in
    table | bundle) find $fixtures/tensorflow -name '*.index' -size -20k; find $fixtures/tensorflow/v1 -type f -size -20k ;;
    object-graph) find $fixtures/tensorflow/object-graph -type f ;;
    zip | torch) find $fixtures/torch $fixtures/sentence -name '*.pt' -size -40k -o -name '*.bin' -size -40k ;;
    pickle) find $fixtures/torch -name '*legacy*' -size -40k ;;
    legacy) find $fixtures/torch -name '*legacy*' -size -40k; find $fixtures/torch/other-models -name '*.h5' ;;
    tar) : ;;
    safetensors | native) find $fixtures -name '*.safetensors' -size -20k ;;
    npy) find $fixtures -name '*.npy' -size -8k ;;
    npz | fixture) find $fixtures -name '*.npz' -size -16k ;;
    hdf5) find $fixtures/keras -name '*.h5' ;;
    keras) find $fixtures/keras -name '*.keras' ;;
    flax) find $fixtures/flax -name '*.msgpack' ;;
    yaml) find ../docs/examples $fixtures/tables -name '*.yaml' ;;
    config) find $fixtures -name '*config.json' -size -4k ;;
  esac
}

parsers=("$@")
[ ${#parsers[@]} -gt 0 ] ||
  parsers=(table bundle object-graph zip pickle legacy tar torch safetensors native npy npz hdf5 keras flax yaml config fixture)
status=0
mkdir -p found
for parser in "${parsers[@]}"; do
  mkdir -p ".corpus/$parser"
  number=0
  while read -r file; do cp "$file" ".corpus/$parser/seed-$((number++))"; done < <(seeds "$parser")
  log=$(mktemp)
  # A single input may take a second and 512 MiB; one that takes more is a find as well.
  if "$fuzz" "$parser" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=65536 \
    -use_value_profile=1 -print_final_stats=1 -artifact_prefix="found/$parser-" ".corpus/$parser" >"$log" 2>&1; then
    printf 'ok    %-12s %s executions, %s inputs kept\n' "$parser" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(find ".corpus/$parser" -type f | wc -l)"
  else
    printf 'FOUND %-12s %s\n' "$parser" "$(grep -m 1 -E 'ERROR|Fatal|SUMMARY' "$log" || tail -n 1 "$log")"
    status=1
  fi
  rm -f "$log"
done
exit $status
