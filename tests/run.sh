#!/bin/sh
# Run test programs one after the other and add up their cases.
#
#   tests/run.sh PROGRAM...        (a PROGRAM may be quoted with its arguments)
#
# A program is a cmocka one, or prints "N passed, N failed" as its last line. One line each; the whole output of those that
# fail. "skipped: needs X" lines are counted. Closes with "N passed, N failed" and fails when one did.
passed=0 failed=0 skipped=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for program; do
    started=$(date +%s)
    eval "$program" >"$log" 2>&1
    code=$?
    ok=$(sed -n -e 's/.*\[  PASSED  \] \([0-9]*\) test.*/\1/p' -e 's/^\([0-9]*\) passed, [0-9]* failed.*/\1/p' "$log" | tail -n 1)
    bad=$(sed -n -e 's/.*\[  FAILED  \] \([0-9]*\) test.*/\1/p' -e 's/^[0-9]* passed, \([0-9]*\) failed.*/\1/p' "$log" | tail -n 1)
    skip=$(grep -c '^skipped: needs' "$log")
    ok=${ok:-0} bad=${bad:-0}
    # A program that dies, or that counts nothing, is a failure of its own.
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    if [ "$code" -eq 0 ] && [ "$ok" -eq 0 ] && [ "$skip" -eq 0 ]; then bad=1; fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-60s %4d passed %3d failed  %ds\n' "$program" "$ok" "$bad" $(($(date +%s) - started))
    [ "$skip" -eq 0 ] || grep '^skipped: needs' "$log"
    [ "$bad" -eq 0 ] || { echo "---- $program (exit $code)"; cat "$log"; echo "----"; }
done
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
