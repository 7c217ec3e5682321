#!/bin/sh
# The dashboard as its users meet it: served by a real coordinator, and in a browser.
#
#   tests/dashboard/run.sh PROGRAM_FOLDER [THEME...]     (coordinator, worker, train, shapes, backend_cpu.so, tests/dashboard/stage)
#
# Themes: served (needs curl), page (needs curl and chromium with its driver). With SCREENSHOTS=FOLDER the pages are kept there as
# pictures. A line for each check; closes with "N passed, N failed" and fails when one did.
[ $# -ge 1 ] || { echo "usage: $0 PROGRAM_FOLDER [THEME...]" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd)
shift
[ $# -gt 0 ] || set -- served page
if [ -n "$SCREENSHOTS" ]; then mkdir -p "$SCREENSHOTS" && SCREENSHOTS=$(cd "$SCREENSHOTS" && pwd) && export SCREENSHOTS; fi
# A short path: sockets lie below it.
folder=$(mktemp -d /tmp/mdXXXXXX) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP
if ! command -v curl >/dev/null; then
    echo "skipped: needs curl"
    echo "0 passed, 0 failed"
    exit 0
fi
"$here/../cluster/stage.sh" "$programs" "$folder/stage" >"$folder/stage.log" 2>&1 ||
    { cat "$folder/stage.log"; echo "0 passed, 1 failed"; exit 1; }
passed=0 failed=0
for theme; do
    mkdir -p "$folder/$theme"
    sh "$here/$theme.sh" "$programs" "$folder/$theme" "$folder/stage" >"$folder/$theme.log" 2>&1
    counts=$(tail -n 1 "$folder/$theme.log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
    echo "---- $theme"
    if [ -z "$counts" ]; then
        cat "$folder/$theme.log"
        echo "FAILED   $theme: broke off"
        counts="0 1"
    else sed '$d' "$folder/$theme.log"; fi
    passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
