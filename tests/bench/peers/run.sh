#!/bin/sh
# The same work in PyTorch and here, in turn, on this machine in the same minutes.
#
#   tests/bench/peers/run.sh PROGRAM_FOLDER [REFERENCE_FOLDER]      (make bench-peers REFERENCE=...)
#
# Steps need nothing but PyTorch. With the folder of the reference (YOLOv5 of August 2020) its loader and a whole candidate of its
# train.py are measured, too. The packages go into the virtual environment of tests/interop, PROGRAM_FOLDER/interop, from whatever
# registry pip is set up for: once, and some gigabytes. Variables:
#   PEERS_PYTHON   an interpreter that has the packages, in place of that environment
#   PEERS_THREADS  compute threads of both sides; all cores by default. On a machine that does other things, too, take 1
#   PEERS_ROUNDS   how often both sides have their turn (2); the best of each counts
#   PEERS_CASES    of the steps: "yolov5s.320 yolov5s.640 yolov5n.128"
#   PEERS_DATA     data yaml for loader and candidate, of folders of pictures; by default one is drawn
[ $# -eq 1 ] || [ $# -eq 2 ] || { echo "usage: $0 PROGRAM_FOLDER [REFERENCE_FOLDER]" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd) || exit 2
models=$(cd "$here/../../../examples/models" && pwd) || exit 2
reference=
[ -z "${2:-}" ] || reference=$(cd "$2" && pwd) || exit 2
threads=${PEERS_THREADS:-$(nproc)} rounds=${PEERS_ROUNDS:-2}
cases=${PEERS_CASES-yolov5s.320 yolov5s.640 yolov5n.128}
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT

# ---- the environment ----

skip() { echo "skipped: needs $*"; exit 0; }
interop=$here/../../interop
. "$interop/environment.sh"
[ -z "$reference" ] || need "$interop/requirements-reference.txt"
export OMP_NUM_THREADS="$threads"
unset MENDEL_LOG
"$python" -c 'import torch; print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")' || exit 1

# note WHO FIGURE VALUE: keep the best value of a figure.
note() { echo "$1 $2 $3" >>"$folder/figures"; }
# best WHO FIGURE [less]: the best that was noted: the largest, or with a third argument the smallest.
best() {
    awk -v who="$1" -v figure="$2" -v less="${3:-}" '
        $1 == who && $2 == figure { if (best == "" || (less ? $3 < best : $3 > best)) best = $3 }
        END { print best }' "$folder/figures"
}
# show FIGURE UNIT LESS THEIRS...: ours beside the best of theirs.
show() {
    figure=$1 unit=$2 less=$3; shift 3
    ours=$(best ours "$figure" "$less")
    for theirs in "$@"; do
        value=$(best theirs "$theirs" "$less")
        [ -n "$ours" ] && [ -n "$value" ] || continue
        printf '%-24s %10.4g %-10s PyTorch, %-36s %10.4g' "$figure" "$ours" "$unit" "$theirs" "$value"
        awk -v ours="$ours" -v theirs="$value" -v less="$less" \
            'BEGIN { printf "   %6.2f times as fast\n", less ? theirs / ours : ours / theirs }'
    done
}

# ---- steps ----

# step NAME MODEL SIZE BATCH RUNS
step() {
    name=$1
    for precision in fp32 bf16; do
        value=$("$programs/bench" step --case "$name" --precision $precision --threads "$threads" --runs "$5" --no-ceiling |
            awk -v figure="step.$name.$precision" '$1 == figure { print $2 }')
        [ -z "$value" ] || note ours "step.$name.$precision" "$value"
    done
    "$python" "$here/step.py" "$models/$2" "$3" "$4" 80 "$5" >"$folder/steps" || exit 1
    while read -r variant value; do note theirs "step.$name.$variant" "$value"; done <"$folder/steps"
}
round=0
while [ $round -lt "$rounds" ]; do
    for name in $cases; do
        case $name in
        yolov5s.320) step $name yolov5s.yaml 320 16 2 ;;
        yolov5s.640) step $name yolov5s.yaml 640 8 2 ;;
        yolov5n.128) step $name yolov5n.yaml 128 16 20 ;;
        *) echo "no case $name" >&2; exit 2 ;;
        esac
    done
    round=$((round + 1))
done
for name in $cases; do
    show step.$name.fp32 images/s '' step.$name.fp32 step.$name.fp32.channels_last step.$name.bf16.channels_last
    show step.$name.bf16 images/s '' step.$name.bf16.channels_last
done
[ -n "$reference" ] || { echo "skipped: needs REFERENCE=, the folder of the reference, for its loader and a whole candidate"; exit 0; }

# ---- the reference itself ----

# Beside the pictures the reference keeps notes of its own: so they get a folder here, where their labels are copied to.
set=$folder/set
take() { # SPLIT FOLDER_OF_PICTURES
    labels=$(echo "$2" | sed 's/\(.*\)images/\1labels/')
    mkdir -p "$set/images" "$set/labels" && ln -s "$2" "$set/images/$1" && cp -r "$labels" "$set/labels/$1" || exit 1
}
if [ -z "${PEERS_DATA:-}" ]; then
    "$programs/shapes" --out "$folder/shapes" --train 205 --val 87 --size 640 >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
    PEERS_DATA=$folder/shapes/shapes.yaml
fi
for split in train val; do
    where=$(sed -n "s/^$split: *//p" "$PEERS_DATA")
    [ -d "$where" ] || where=$(dirname "$PEERS_DATA")/$where
    take $split "$(cd "$where" && pwd)"
done
data=$set/data.yaml
{ echo "train: $set/images/train"; echo "val: $set/images/val"; grep -E '^(nc|names):' "$PEERS_DATA"; } >"$data"
cd "$reference" || exit 2
for size in 640 320; do
    value=$("$programs/bench" loader --data "$data" --img-size $size --seconds 2 |
        awk -v figure="loader.$size.threads_1.cached.core" '$1 == figure { print $2 }')
    note ours loader.$size.cached "$value"
    value=$("$python" "$interop/reference.py" "$here/loader.py" "$data" $size 60 2>"$folder/log") || { tail "$folder/log"; exit 1; }
    note theirs loader.$size.cached "$value"
    show loader.$size.cached "samples/s" '' loader.$size.cached
done

# candidate WHO COMMAND...: note the seconds of a whole process.
candidate() {
    who=$1; shift
    started=$(date +%s.%N)
    "$@" >"$folder/log" 2>&1 || { tail -n 20 "$folder/log"; exit 1; }
    note "$who" candidate "$(date +%s.%N | awk -v started="$started" '{ print $1 - started }')"
}
options="--epochs 10 --batch-size 16 --img-size 128 --cache-images --nosave --notest"
candidate ours "$programs/train" --data "$data" --cfg "$models/yolov5n.yaml" --weights '' $options --precision fp32 --threads "$threads" \
    --logdir "$folder/ours" --plots never --tensorboard never
candidate theirs "$python" "$interop/reference.py" train.py --data "$data" --cfg "$models/yolov5n.yaml" --weights '' $options --device cpu \
    --logdir "$folder/theirs"
show candidate s less candidate
