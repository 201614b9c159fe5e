#!/usr/bin/env bash
# Fuzzes the parsers: libFuzzer with the address sanitizer, seeded by the fixtures.
#
# usage: Fuzz/run.sh [-j JOBS] [SECONDS] [PARSER ...]      60 seconds of each parser, one at a time by default
#
# A find stays in Fuzz/found/PARSER-…: mend the parser, then move the file to Fuzz/FailCases, where the unit tests run it.
# The corpus that grows lies in Fuzz/.corpus/PARSER and is used again. Exit status 1 when something was found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

jobs=1
if [ "${1:-}" = -j ]; then jobs=$2 && shift 2; fi
seconds=${1:-60}
shift || true
flags=(-c release -Xswiftc -sanitize=fuzzer,address -Xswiftc -enable-testing
  -Xswiftc -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -Xcc -fsanitize=address
  -Xswiftc -parse-as-library)
# A toolchain without libFuzzer is not a failure: it is reported.
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo '@_cdecl("LLVMFuzzerTestOneInput") public func probe(_: UnsafePointer<UInt8>, _: Int) -> CInt { 0 }' >"$probe/probe.swift"
if ! swiftc -parse-as-library -sanitize=fuzzer,address "$probe/probe.swift" -o "$probe/probe" >"$probe/log" 2>&1; then
  echo "run.sh: this toolchain has no libFuzzer; nothing is fuzzed:" >&2
  tail -3 "$probe/log" >&2
  exit 0
fi
swift build "${flags[@]}" >&2
fuzz=$(swift build "${flags[@]}" --show-bin-path)/fuzz
fixtures=../Tests/Fixtures

# What each parser begins with: fixtures that are small enough to be changed often.
seeds() {
  case $1 in
    table | bundle) find $fixtures/tensorflow -name '*.index' -size -20k; find $fixtures/tensorflow/v1 -type f -size -20k ;;
    graph) find $fixtures/tensorflow -name '*.pb' -size -60k ;;
    object-graph) find $fixtures/tensorflow/object-graph -type f ;;
    zip | torch) find $fixtures/torch $fixtures/sentence -name '*.pt' -size -40k -o -name '*.bin' -size -40k ;;
    pickle) find $fixtures/torch -type f -path '*legacy*' -size -40k ;;
    legacy) find $fixtures/torch -type f -path '*legacy*' -size -40k; find $fixtures/torch/other-models -name '*.h5' ;;
    joblib) find $fixtures/numpy/joblib $fixtures/torch/pickles -name '*.joblib' -o -name '*.pkl' ;;
    distributed) find $fixtures/torch/distributed -name .metadata ;;
    unknown) find $fixtures -name '*.json' -size -2k; find $fixtures/numpy/joblib -name '*.joblib' ;;
    script-code)
      # The code of the archives, each file of it.
      mkdir -p .corpus/script
      for archive in "$fixtures"/torch/script-code/*.pt "$fixtures"/torch/quantized/traced.pt; do
        unzip -qqo "$archive" '*/code/*' -d ".corpus/script/$(basename "$archive")"
      done
      find .corpus/script -name '*.py'
      ;;
    tar) find $fixtures/torch/tar -name '*.pt' ;;
    safetensors | native) find $fixtures -name '*.safetensors' -size -20k ;;
    npy) find $fixtures -name '*.npy' -size -8k ;;
    npz | fixture) find $fixtures -name '*.npz' -size -16k ;;
    hdf5) find $fixtures/keras -name '*.h5' ;;
    keras) find $fixtures/keras -name '*.keras' ;;
    flax) find $fixtures/flax -name '*.msgpack' ;;
    yaml) find ../docs/examples $fixtures/tables -name '*.yaml' ;;
    glob)
      mkdir -p .corpus/globs
      printf '%s\n' '{,*/}adam_{m,v}' 'bert/adam_m' 'adam_v' >.corpus/globs/1
      printf '%s\n' '*[!a-z]?é*]{x,[yz]}' 'é漢]x' >.corpus/globs/2
      find .corpus/globs -type f
      ;;
    plan)
      mkdir -p .corpus/plans
      for table in ../docs/examples/*.yaml; do
        { cat "$table"; printf '\0{"net/emb": [11, 6], "net/pos": [5, 6], "h0/qk": [12, 6], "a": [2, 3]}'; } >".corpus/plans/$(basename "$table")"
      done
      find .corpus/plans -type f
      ;;
    convert) find $fixtures/heads $fixtures/safetensors -name '*.safetensors' -size -40k ;;
    config) find $fixtures -name '*config.json' -size -4k ;;
    tokenizer)
      mkdir -p .corpus/tokenizers
      printf '%s\n' '{"version":"1.0","added_tokens":[{"id":9,"content":"[MASK]","single_word":false,"lstrip":true,"rstrip":false,"normalized":false,"special":true}],"normalizer":{"type":"NFKC"},"pre_tokenizer":{"type":"Whitespace"},"model":{"type":"WordPiece","unk_token":"u","continuing_subword_prefix":"##","max_input_chars_per_word":9,"vocab":{"u":0,"a":1,"##t":2}}}' >.corpus/tokenizers/1
      printf '%s\n' '{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},"post_processor":{"type":"RobertaProcessing","sep":["s",1],"cls":["c",0],"trim_offsets":true,"add_prefix_space":true},"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true},"model":{"type":"BPE","vocab":{"c":0,"s":1,"t":2,"Ġ":3,"Ġt":4},"merges":["Ġ t"]}}' >.corpus/tokenizers/2
      printf '%s\n' '{"normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAAAEAABhAA=="},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"},"model":{"type":"Unigram","unk_id":0,"vocab":[["u",0],["▁",-1.5],["a",-2e0]]}}' >.corpus/tokenizers/3
      find .corpus/tokenizers -type f
      ;;
    sentencepiece) find $fixtures/tokenizer-files -name '*.model' ;;
    regex)
      mkdir -p .corpus/expressions
      printf '%s\n' "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}]++[\\r\\n]*|\\s+(?!\\S)|\\s+" "it's 1234 x  " >.corpus/expressions/1
      printf '%s\n' '(?<=a)b|\bx*?y|(?>s+)$|^[^a-z\x{4e00}-\x{9fff}]' 'abxxy ss' >.corpus/expressions/2
      find .corpus/expressions -type f
      ;;
    text)
      mkdir -p .corpus/texts
      printf '%s' 'A text, naïve 中文 İ ﬁ 각 12.5 ▁x  y' >.corpus/texts/1
      find .corpus/texts -type f
      ;;
  esac
}

# Fuzzes one parser and prints the result in a line.
fuzz() {
  local parser=$1 log number=0 start=$SECONDS
  mkdir -p ".corpus/$parser"
  while read -r file; do cp "$file" ".corpus/$parser/seed-$((number++))"; done < <(seeds "$parser")
  log=$(mktemp)
  # An input that takes ten seconds or half a GiB at once is a find as well.
  if LSAN_OPTIONS=suppressions=$PWD/leaks.txt:print_suppressions=0 \
    "$fuzz" "$parser" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=65536 \
    -use_value_profile=1 -print_final_stats=1 -artifact_prefix="found/$parser-" ".corpus/$parser" >"$log" 2>&1; then
    printf 'ok    %-12s %10s executions in %s s, %s inputs kept\n' "$parser" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" $((SECONDS - start)) \
      "$(find ".corpus/$parser" -type f | wc -l)"
    rm -f "$log"
  else
    printf 'FOUND %-12s %s\n' "$parser" "$(grep -m 1 -E 'ERROR|Fatal|SUMMARY' "$log" || tail -n 1 "$log")"
    mv "$log" "found/$parser.log"
    return 1
  fi
}

parsers=("$@")
[ ${#parsers[@]} -gt 0 ] ||
  parsers=(table bundle object-graph graph zip pickle legacy tar torch joblib distributed script-code unknown safetensors native npy npz hdf5 keras flax yaml glob plan convert config fixture
    tokenizer sentencepiece regex text)
mkdir -p found
failed=0
for parser in "${parsers[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || failed=1; done
  fuzz "$parser" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
exit $failed
