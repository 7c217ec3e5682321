#!/bin/sh
# The demo's promises, held by running it: examples/demo.sh from nothing to its end.
#
#   tests/demo/run.sh PROGRAMS
#
#   - it ends by itself within ten minutes, with a line at least every 5 s
#   - the base hyps reach mAP@.5 between .3 and .9, and at least 8 of the 12 rows differ in fitness
#   - with lr0 = 1e-5 the same training reaches less than half of that: the hyps matter
#   - it closes with the best hyps, the gain, the paths and the command to train with them
set -u
programs=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
passed=0 failed=0

check() { # what, condition...
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)) verdict=ok; else failed=$((failed + 1)) verdict=FAILED; fi
    printf '%-66s %s\n' "$what" "$verdict"
}
holds() { awk "BEGIN { exit !($1) }"; } # an expression of numbers

# Each line with the second at which it came.
stamp() {
    while IFS= read -r line; do printf '%s %s\n' "$(date +%s)" "$line"; done
}

cd "$work" || exit 1
started=$(date +%s)
{ "$root/examples/demo.sh" "$programs" 2>&1; echo "exit $?"; } | stamp >log
seconds=$(($(date +%s) - started))
gap=$(awk 'NR > 1 && $1 - last > most { most = $1 - last } { last = $1 } END { print most + 0 }' log)
check "the demo ends well" grep -q 'exit 0$' log
check "within ten minutes ($seconds s)" [ "$seconds" -lt 600 ]
check "a line at least every 5 s (longest silence $gap s)" [ "$gap" -le 5 ]

run=demo/evolve_shapes
rows=$(wc -l <$run/evolve.txt)
differ=$(awk '{ print .1 * $3 + .9 * $4 }' $run/evolve.txt | sort -u | wc -l)
check "12 rows ($rows), at least 8 of them differ ($differ)" [ "$rows" -ge 8 ] && [ "$differ" -ge 8 ]
base=$("$programs/coordinator" export --run $run --format csv | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    $column["candidate"] == 1 { print $column["mAP@.5"] }')
check "the base hyps reach mAP@.5 of .3 to .9 (${base:-nothing})" holds "${base:-0} >= .3 && ${base:-0} <= .9"

sed 's/^lr0: .*/lr0: 1.0e-05/' "$root/examples/hyps/hyp.scratch.yaml" >slow.yaml
"$programs/train" --data demo/shapes/shapes.yaml --cfg "$root/examples/models/yolov5n.yaml" --hyp slow.yaml --epochs 32 \
    --batch-size 16 --img-size 128 --adam --cache-images --notest --nosave --logdir runs --threads 1 >train.log 2>&1
slow=$(tail -n 1 runs/exp0/results.txt | awk '{ print $11 }')
check "lr0 = 1e-5 gets less than half of that (${slow:-nothing})" holds "${slow:-1} < ${base:-0} / 2"

for words in 'hyp_evolved.yaml' 'evolve.txt' 'evolve.png' 'train --data'; do
    check "it closes with '$words'" sh -c "tail -n 60 log | grep -q -- '$words'"
done
check "every child is bred again alike" "$programs/coordinator" verify --run $run
[ "$failed" -eq 0 ] || tail -n 40 log
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
