# What scripts that check the command share; to be sourced. Sets assay (the program, an absolute path), work (a scratch
# folder, gone at the end) and failed (0; 1 after a complaint).
assay=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
bad() { echo "$1"; failed=1; }

missing() { echo "all skipped: no $1 here: ci/run.sh setup installs it"; exit 77; }
# find_python MODULES: sets python to one that has them. Debian's modules are those of Debian's Python, which need not be
# the first on the path. False: there is none.
find_python() {
  for python in python3 /usr/bin/python3; do
    "$python" -c "import $1" 2>/dev/null && return
  done
  return 1
}

# expect CODE TEXT ARGS...: the command ends with CODE and says TEXT.
expect() {
  local code=$1 text=$2 said found
  shift 2
  said=$("$assay" "$@" 2>&1)
  found=$?
  [ "$found" -eq "$code" ] && grep -qF -- "$text" <<<"$said" && return
  bad "assay $*: expected exit $code and '$text', found exit $found and:"
  head -20 <<<"$said"
}
