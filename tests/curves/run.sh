#!/bin/sh
# Whole trainings on real data: does the model learn as the reference's does?
#
#   tests/curves/run.sh PROGRAMS [DATA.yaml]        (make check-curves)
#
# 60 epochs of yolov5n on the BCCD set at 320 px, from scratch, pictures in order, as the recorded trainings of the reference
# (best fitness .439, .466 and .440), and the same in bf16 and shuffled: the mean of the best fitness of seeds 1 to 3 has to lie within
# .41 to .49 in fp32, and to reach .41 in the others. It takes half an hour on two fast cores. KEEP=folder keeps the trainings.
set -u
programs=$1 data=${2:-../shared/data/bccd.yaml}
here=$(dirname "$0")
passed=0 failed=0
[ -f "$data" ] || { echo "skipped: needs $data"; echo "0 passed, 0 failed"; exit 0; }
runs=${KEEP:-$(mktemp -d)}
mkdir -p "$runs"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$runs"' EXIT

# Best fitness in a results.txt: columns 11 and 12 are mAP@.5 and mAP@.5:.95.
best() {
    awk '{ f = .1 * $11 + .9 * $12; if (f > b) { b = f; e = $1 } } END { printf "%.4f %s\n", b, e }' "$1"
}

train() { # name, options...
    name=$1
    shift
    mkdir -p "$runs/$name"
    "$programs/train" --data "$data" --cfg "$here/../../examples/models/yolov5n.yaml" --weights '' --img-size 320 \
        --batch-size 16 --epochs 60 --cache-images --nosave --logdir "$runs/$name" "$@" >"$runs/$name/log" 2>&1 ||
        { echo "FAILED $name"; tail -n 5 "$runs/$name/log"; echo 0 0; return; }
    best "$runs/$name"/exp0/results.txt
}

check() { # what, value, low, high
    if awk "BEGIN { exit !($2 >= $3 && $2 <= $4) }"; then
        passed=$((passed + 1)) verdict=ok
    else
        failed=$((failed + 1)) verdict=FAILED
    fi
    printf '%-32s best fitness %s, expected %s to %s: %s\n' "$1" "$2" "$3" "$4" "$verdict"
}

three() { # name, low, high, options...: three seeds of it
    kind=$1 low=$2 high=$3 sum=0
    shift 3
    for seed in 1 2 3; do
        line=$(train "$kind$seed" --seed "$seed" "$@" | tail -n 1)
        echo "$kind, seed $seed: best fitness at epoch: $line"
        sum="$sum + ${line%% *}"
    done
    check "$kind, mean of seeds 1 to 3" "$(awk "BEGIN { printf \"%.4f\", ($sum) / 3 }")" "$low" "$high"
}

three fp32 .41 .49 --precision fp32 --no-shuffle
three bf16 .41 1 --precision bf16 --no-shuffle
three shuffled .41 1 --precision fp32
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
