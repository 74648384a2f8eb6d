#!/usr/bin/env bash
# Objects that outlive a call belong to a workbench: what lies in a section that can be written is found and named.
# Usage: ci/no_mutable_statics.sh FILE...                      objects and archives; exit 1 when something is found
#        ci/no_mutable_statics.sh --expect NAME,NAME FILE... exactly these must be found: the control of this check
set -u
expected=
control=no
if [ "${1:-}" = --expect ]; then
  control=yes expected=$2
  shift 2
fi
[ $# -gt 0 ] || { echo 'no_mutable_statics: no files'; exit 2; }

# Lines "symbol<TAB>file". Toolchains put objects of their own beside ours: the initialiser of <iostream>, handles of
# embedded device code, addresses of type information; and the header library for command lines has its own.
found=
for file in "$@"; do
  table=$(objdump -tC -- "$file") || { echo "no_mutable_statics: objdump cannot read $file"; exit 2; }
  grep -q 'SYMBOL TABLE' <<<"$table" || { echo "no_mutable_statics: $file has no symbols"; exit 2; }
  found+=$(awk -F'\t' -v whole="$file" '
    /: +file format/ { member = $0; sub(/: +file format.*/, "", member) }
    NF == 2 {
      words = split($1, left, " ")
      section = left[words]
      size = $2; sub(/ .*/, "", size)
      name = $2; sub(/^[0-9a-f]+ +(\.hidden +)?/, "", name)
      if (section !~ /^(\.(bss|data|tbss|tdata|lbss|ldata)(\.|$)|\*COM\*)/ || section ~ /^\.data\.rel\.ro/) next
      if (size ~ /^0+$/) next  # the section itself
      if (name ~ /^(std::__ioinit|guard variable for )/) next
      # A signal handler reaches nothing but globals. Clang numbers local symbols, which then do not demangle.
      if (name ~ /^(assay::\(anonymous namespace\)::|_ZN5assay12_GLOBAL__N_1[0-9]+)(caught_signal|time_is_up)(E\.[0-9]+)?$/) next
      sub(/\[abi:cxx11\]$/, "", name)
      if (name ~ /^(DW\.ref\.|CLI::|__nv_|_?__cudaFatCubin|__fatbin|__gcov|__odr_asan|__sancov)/) next
      print name "\t" whole (member == whole ? "" : " (" member ")")
    }' <<<"$table")$'\n'
done
found=$(grep -v '^$' <<<"$found" | sort -u)

if [ $control = yes ]; then
  names=$(cut -f1 <<<"$found" | sort -u)
  wanted=$(tr ',' '\n' <<<"$expected" | sort -u)
  [ "$names" = "$wanted" ] && exit 0
  echo 'no_mutable_statics: expected to find exactly'
  echo "$wanted"
  echo 'found'
  echo "$names"
  exit 1
fi
[ -z "$found" ] && exit 0
echo 'objects that can be written and outlive every call; a workbench should own them:'
echo "$found" | sed 's/\t/ in /'
exit 1
