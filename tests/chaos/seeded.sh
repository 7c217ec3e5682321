#!/bin/sh
# Does the chaos suite find the mistakes that common/fault.h can build in? A suite that does not is worth nothing.
#
#   tests/chaos/seeded.sh BUILD_FOLDER [MISTAKE...]
#
# Builds coordinator and worker with each, and lets runs of one kind go until all have ended: one of them has to fail. A line for
# each; closes with "N passed, N failed" and fails when one was not found.
[ $# -ge 1 ] || { echo "usage: $0 BUILD_FOLDER [MISTAKE...]" >&2; exit 2; }
build=$1
shift
[ $# -gt 0 ] || set -- ack_before_commit spool_not_synced token_ignored no_lease_grace
passed=0 failed=0
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
for mistake; do
    case $mistake in
    ack_before_commit) kind=clocks;; # each of these kills the coordinator between an answer and its commit, or just after
    spool_not_synced) kind=power;;   # a worker's machine loses power before its result is acknowledged
    token_ignored) kind=frost;;      # a worker comes back whose candidate another one trains
    no_lease_grace) kind=clocks;;
    *) echo "no such mistake: $mistake" >&2; exit 2;;
    esac
    folder=$build/faults-$mistake
    if ! make --no-print-directory -s -j2 FAULTS=1 SEEDED="$mistake" BUILD="$folder" chaos-programs >"$log" 2>&1; then
        cat "$log"
        failed=$((failed + 1))
        continue
    fi
    "$folder/tests/chaos/chaos" "$folder" "$build" $kind >"$log" 2>&1
    code=$?
    # The folders of the runs that failed, as they should.
    sed -n 's|^  left in \(.*\)/[0-9]*$|\1|p' "$log" | sort -u | while read -r left; do rm -rf "$left"; done
    found=$(grep -c '^FAILED' "$log")
    if [ "$code" -eq 1 ] && [ "$found" -gt 0 ]; then
        passed=$((passed + 1))
        echo "ok       $mistake is found by $found runs of '$kind', as: $(grep -A1 '^FAILED' "$log" | sed -n 2p)"
    else
        failed=$((failed + 1))
        echo "FAILED   $mistake is not found by '$kind' (exit $code)"
        tail -n 5 "$log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
