#!/bin/sh
# Does a coordinator sync as often as `bench dispatch` says? The system's own count, by strace.
#
#   tests/bench/syncs.sh PROGRAM_FOLDER      (bench, coordinator, backend_cpu.so)
#
# One fdatasync of the store's log for each commit, and few beside them: the run is begun, workers are greeted, the log is swept.
# Closes with "N passed, N failed".
[ $# -eq 1 ] || { echo "usage: $0 PROGRAM_FOLDER" >&2; exit 2; }
bench=$1/bench
trace=$(mktemp) figures=$(mktemp) || exit 2
trap 'rm -f "$trace" "$figures"' EXIT
strace -o "$trace" true 2>/dev/null || { echo "skipped: needs strace, and that it may trace"; echo "0 passed, 0 failed"; exit 0; }
passed=0 failed=0
check() { # what, a condition of awk
    if awk "BEGIN { exit !($2) }"; then passed=$((passed + 1)) verdict='ok      '; else failed=$((failed + 1)) verdict='FAILED  '; fi
    echo "$verdict $1: $2"
}
figure() { sed -n "s/^dispatch\.8\.$1  *\([0-9.e+]*\).*/\1/p" "$figures"; }

strace -f -y -qq -e trace=fdatasync,fsync -o "$trace" "$bench" dispatch --workers 8 --seconds 1 >"$figures" 2>&1 ||
    { cat "$figures"; echo "0 passed, 1 failed"; exit 1; }
commits=$(figure fsyncs) cycles=$(figure cycles)
syncs=$(grep -c 'fdatasync([0-9]*<[^>]*store.sqlite-wal>' "$trace")
others=$(grep -c 'sync([0-9]*<[^>]*store.sqlite>' "$trace")
check "candidates were committed" "${commits:-0} >= 20 && ${cycles:-0} >= 20"
check "each commit is synced" "$syncs >= $commits"
check "... once" "$syncs <= 1.1 * $commits + 40"
check "the database itself is left for later" "$others <= 0.1 * $commits + 10"
check "several candidates share a commit" "2 * $cycles > 1.2 * $commits"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
