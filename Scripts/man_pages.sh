#!/usr/bin/env bash
# Generates the manual pages of the program from its help.
#
# usage: Scripts/man_pages.sh GENERATOR PROGRAM DATE FOLDER
#
# GENERATOR is swift-argument-parser's generate-manual. This script corrects its output: pages are named as `man` joins words
# (`man bertconv convert` looks for bertconv-convert), the exit statuses are those of the program, `help` has no page, and
# sentences and lines are cut as mdoc wants them.
set -euo pipefail
[ $# -eq 4 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
generator=$1 program=$2 date=$3 folder=$4

pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
"$generator" "$program" --multi-page --date "$date" --output-directory "$pages"
rm -f "$pages"/*.help.1
mkdir -p "$folder"

# The one-line description of a page, as the beginning or the middle of a sentence wants it.
description() { sed -nE 's/^\.Nd "?(.*[^."])\.?"?$/\1/p' "$1"; }

for page in "$pages"/*.1; do
  name=$(basename "$page" .1)
  # Each line ends with a newline, the last one too.
  { cat "$page"; echo; } | awk -v name="${name//./-}" -v title="$(description "$page")" '
    # Text, one sentence a line, and none longer than 80 bytes; a dot at the start of a line would be a macro.
    function text(sentence, rest, line, at) {
      rest = sentence
      while (length(rest) > 0) {
        line = rest
        if (length(line) > 78) {
          line = substr(line, 1, 78)
          for (at = 78; at > 1 && substr(line, at, 1) != " "; at--);
          line = substr(line, 1, at)
        }
        rest = substr(rest, length(line) + 1)
        sub(/ +$/, "", line)
        print (line ~ /^[.\047]/ ? "\\&" : "") line
      }
    }
    function sentences(words, part, count, i) {
      gsub(/[.] /, ".\001", words)
      count = split(words, part, "\001")
      for (i = 1; i <= count; i++) text(part[i])
    }
    function statuses() {
      print ".Bl -tag -width 4n"
      print ".It 0\nDone and good."
      print ".It 1\nA check failed:\n.Cm verify\nfound a difference beyond the tolerance, or\n.Cm diff\nfound one."
      print ".It 2\nThe input cannot be used; nothing was written."
      print ".It 64\nWrong usage."
      print ".El"
    }
    # A paragraph break is kept until it is known what follows.
    /^[.]Pp$/ { paragraph = 1; next }
    paragraph { if (!/^[.](It|El|Bl|Sh)/) print ".Pp"; paragraph = spoken = 0 }
    /^[.]Dt / { print ".Dt " toupper(name) " 1"; next }
    /^[.]Nm "/ { command = substr($0, 5); print ".Nm " name; next }
    /^[.]Nd / { print ".Nd " tolower(substr(title, 1, 1)) substr(title, 2); next }
    # In the synopsis the command is called as it is typed.
    /^[.]Nm$/ { print command ? ".Nm " command : $0; next }
    /^[.]Ex / { statuses(); next }
    /^[.]Sh "SEE ALSO"/ || /^[.]Xr / { next }
    /^[.]/ { print; spoken = 0; next }
    /^$/ { next }
    # A line on its own in the help stays a line.
    { if (spoken) print ".br"; sentences($0); spoken = 1 }
  ' >"$folder/${name//./-}.1"
done

# The page of the program itself lists the commands; each refers to the others.
main=$(basename "$program")
{
  printf '.Sh COMMANDS\n.Bl -tag -width 9n\n'
  for page in "$pages/$main".*.1; do
    command=$(basename "$page" .1)
    printf '.It Cm %s\n%s.\nSee\n.Xr %s 1 .\n' "${command#*.}" "$(description "$page")" "${command//./-}"
  done
  printf '.El\n'
} >"$pages/commands"
sed -i -e "/^\.Sh \"EXIT STATUS\"/{
r $pages/commands
N
}" "$folder/$main.1"

for page in "$folder/$main".1 "$folder/$main"-*.1; do
  {
    printf '.Sh "SEE ALSO"\n'
    others=()
    for other in "$folder/$main".1 "$folder/$main"-*.1; do
      [ "$other" = "$page" ] || others+=("$(basename "$other" .1)")
    done
    for other in "${others[@]}"; do
      if [ "$other" = "${others[-1]}" ]; then echo ".Xr $other 1"; else echo ".Xr $other 1 ,"; fi
    done
  } >>"$page"
done
