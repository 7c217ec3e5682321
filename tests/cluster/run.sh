#!/bin/sh
# Whole clusters: coordinators, workers and trainers as processes that talk over sockets, train for real, are killed and go on.
#
#   tests/cluster/run.sh PROGRAM_FOLDER [THEME...]      (coordinator, worker, train, shapes, backend_cpu.so, tests/cluster/history)
#
# Themes are scripts beside this one; they run at the same time, since most of their time is waiting. A line for each check; the
# output of what went wrong. Closes with "N passed, N failed" and fails when one did.
[ $# -ge 1 ] || { echo "usage: $0 PROGRAM_FOLDER [THEME...]" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd)
shift
[ $# -gt 0 ] || set -- runs kills delivery input network machines shared keep preempt trainers confirm prune bucket
# A short path: sockets lie below it.
folder=$(mktemp -d /tmp/mcXXXXXX) || exit 2
themes=
clean_up() {
    trap '' INT TERM HUP # a second one must not cut this short
    for pid in $themes; do kill "$pid" 2>/dev/null; done
    wait
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# Trainings under ThreadSanitizer take minutes each: coordinator and worker are watched, the trainer is that of the plain build.
if grep -q __tsan_init "$programs/worker" && [ -x "$programs/../train" ]; then
    mkdir -p "$folder/bin/tests/cluster"
    cp "$programs/coordinator" "$programs/worker" "$folder/bin"
    cp "$programs/../train" "$programs/../shapes" "$programs/../backend_cpu.so" "$folder/bin"
    cp "$programs/tests/cluster/history" "$folder/bin/tests/cluster"
    programs=$folder/bin
fi

"$here/stage.sh" "$programs" "$folder/stage" >"$folder/stage.log" 2>&1 ||
    { cat "$folder/stage.log"; echo "0 passed, 1 failed"; exit 1; }

for theme; do
    mkdir -p "$folder/$theme"
    sh "$here/$theme.sh" "$programs" "$folder/$theme" "$folder/stage" >"$folder/$theme.log" 2>&1 &
    themes="$themes $!"
done
passed=0 failed=0 started=$(date +%s)
for theme; do
    pid=${themes# } pid=${pid%% *}
    wait "$pid"
    themes=${themes# } themes=${themes#"$pid"}
    counts=$(tail -n 1 "$folder/$theme.log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
    echo "---- $theme, after $(($(date +%s) - started)) s"
    sed '$d' "$folder/$theme.log"
    if [ -z "$counts" ]; then
        tail -n 1 "$folder/$theme.log"
        echo "FAILED   $theme: broke off"
        counts="0 1"
    fi
    passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
