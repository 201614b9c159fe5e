#!/usr/bin/env bash
# Installs into an empty folder and tries what is there: the program without the Swift runtime, the completions by the
# shells that are on the machine, the manual pages by mandoc where it is; then uninstalls, and nothing may be left.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() {
  printf 'install.sh: %s\n' "$@" >&2
  exit 1
}

make --no-print-directory install DESTDIR="$root" PREFIX=/opt/bertconv
installed=$root/opt/bertconv
program=$installed/bin/bertconv

# Nothing but the system's libraries, found where the system has them.
linked=$(env -i ldd "$program")
case "$linked" in
  *[Ss]wift* | *Foundation* | *"not found"*) fail "the program needs more than the system has:" "$linked" ;;
esac
printed=$(env -i PATH=/usr/bin:/bin "$program" --version)
[[ $printed == "bertconv "* ]] || fail "--version prints: $printed"
fixture=$PWD/Tests/Fixtures/tensorflow/bert-tiny
env -i "$program" convert tf-to-native "$fixture/bert_model.ckpt" -o "$root/model.safetensors" 2>"$root/log" >>"$root/log" ||
  fail "a conversion fails:" "$(cat "$root/log")"
env -i "$program" verify "$root/model.safetensors" --fixtures "$fixture/reference.npz" >"$root/log" 2>&1 ||
  fail "a verification fails:" "$(cat "$root/log")"

# What bash offers after the words given, sorted, on one line.
offers() {
  (
    cd "$root/files"
    # shellcheck disable=SC1091
    source "$installed/share/bash-completion/completions/bertconv"
    function_name=$(complete -p bertconv | sed -nE 's/.*-F ([^ ]+) .*/\1/p')
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMPREPLY=()
    COMP_POINT=${#COMP_LINE} COMP_TYPE=9
    # A completion that finds nothing may return a failure.
    "$function_name" bertconv "${@: -1}" "${@: -2:1}" || true
    printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort | xargs
  )
}
expect() {
  local wanted=$1 found
  shift
  found=$(offers "$@")
  [ "$found" = "$wanted" ] || fail "after '$*' bash offers '$found', not '$wanted'"
}
mkdir -p "$root/files/folder"
touch "$root/files"/{model.safetensors,inputs.npz,config.json,vocab.txt,table.yaml,model.ckpt.index}
expect "convert" bertconv con
expect "auto-to-native" bertconv convert au
expect "keras-to-native" bertconv convert k
expect "model.ckpt.index" bertconv convert tf-to-native model.c
expect "config.json folder" bertconv convert tf-to-native x --config ""
expect "folder table.yaml" bertconv convert tf-to-native x --table ""
expect "bf16 f16 f32 int8" bertconv convert tf-to-native x --dtype ""
expect "folder model.safetensors" bertconv verify ""
expect "folder inputs.npz model.safetensors" bertconv verify model.safetensors --fixtures ""
expect "bf16 f32 int8" bertconv run model.safetensors --precision ""
expect "end_logits" bertconv run model.safetensors --outputs e
expect "--tolerance" bertconv verify model.safetensors --tol

command -v zsh >/dev/null && zsh -n "$installed/share/zsh/site-functions/_bertconv"
command -v fish >/dev/null && fish --no-execute "$installed/share/fish/vendor_completions.d/bertconv.fish"

pages=("$installed"/share/man/man1/bertconv{,-convert,-diff,-inspect,-run,-tokenize,-verify}.1)
for page in "${pages[@]}"; do [ -s "$page" ] || fail "there is no $page"; done
if command -v mandoc >/dev/null; then
  # The pages refer to each other, and are not where mandoc looks for others.
  faults=$(mandoc -T lint "${pages[@]}" | grep -v 'referenced manual not found' || true)
  [ -z "$faults" ] || fail "mandoc finds faults in the pages:" "$faults"
fi

make --no-print-directory uninstall DESTDIR="$root" PREFIX=/opt/bertconv
left=$(find "$root/opt" -type f)
[ -z "$left" ] || fail "uninstall leaves" "$left"
echo "install.sh: all is well"
