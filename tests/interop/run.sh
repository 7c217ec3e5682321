#!/bin/sh
# What Python makes of our files: torch, onnxruntime, tensorboard and pycocotools; and, given its folder, the reference itself.
#
#   tests/interop/run.sh PROGRAM_FOLDER [REFERENCE_FOLDER]      (make check-interop REFERENCE=...)
#
# The packages go into a virtual environment of their own, PROGRAM_FOLDER/interop, from whatever registry pip is set up for: once, and
# some gigabytes. A line for each check; the output of what went wrong. Closes with "N passed, N failed" and fails when one did.
[ $# -eq 1 ] || [ $# -eq 2 ] || { echo "usage: $0 PROGRAM_FOLDER [REFERENCE_FOLDER]" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd) || exit 2
models=$here/../../examples/models
reference=
[ -z "${2:-}" ] || reference=$(cd "$2" && pwd) || exit 2
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
passed=0 failed=0

skip() { echo "skipped: needs $*"; echo "$passed passed, $failed failed"; [ "$failed" -eq 0 ]; exit; }

# check NAME COMMAND...: passes when the command does; what it printed last is shown.
check() {
    name=$1; shift
    if "$@" >check.out 2>&1; then passed=$((passed + 1)); echo "ok       $name"; tail -n "${show:-1}" check.out | sed 's/^/             /'
    else failed=$((failed + 1)); echo "FAILED   $name"; tail -n 30 check.out | sed 's/^/    | /'; fi
}

# ---- the environment ----

interop=$here
. "$here/environment.sh"
export PYTHONPATH="$here"

# ---- what is looked at: a detector of shapes that finds something ----

cd "$folder" || exit 2
export XDG_CACHE_HOME="$folder/cache"
unset MENDEL_LOG
# train OPTION...: quietly; its results in train.out.
train() { timeout 900 "$programs/train" --precision fp32 --img-size 128 "$@" >train.out 2>&1; }
# ask SCRIPT ARGUMENT...: one of the scripts here.
ask() { script=$1; shift; "$python" "$here/$script" "$@"; }

"$programs/shapes" --out data --train 200 --val 40 --size 128 >train.out 2>&1 || { cat train.out; exit 1; }
ask pictures.py data/images/val || exit 1
check "a detector is trained" train --data data/shapes.yaml --cfg "$models/yolov5n.yaml" --weights '' --epochs 14 --adam --cache-images --logdir runs
weights=runs/exp0/weights
# validate WEIGHTS FOLDER: one by one, each with its own border
validate() { train --task val --data data/shapes.yaml --weights "$1" --batch-size 1 --save-json --save-dir "$2" --plots never; }
check "... and validated" validate $weights/best.pt found
map=$(awk '$1 == "all" { print $6, $7 }' train.out)

# ---- torch ----

check "torch computes the same from best.state.pt" ask torch_forward.py $weights/best.state.pt data/images/val \
    found/detections_val_best_results.json found.npz

# ---- ONNX ----

# export_onnx WEIGHTS HEIGHT WIDTH [--decode]: for pictures of 96 x 128 with their borders
export_onnx() { train --task export --weights "$1" --img-size $2 $3 $4; }
check "best.pt is exported" export_onnx $weights/best.pt 128 160
show=3 check "onnxruntime gives the raw heads that torch gives" ask onnx_outputs.py raw $weights/best.onnx $weights/best.state.pt data/images/val
check "... exported with decoded boxes" export_onnx $weights/best.pt 128 160 --decode
check "onnxruntime gives these boxes, too" ask onnx_outputs.py decoded $weights/best.onnx $weights/best.state.pt data/images/val
check "... and so the same detections" ask onnx_outputs.py found $weights/best.onnx data/images/val found/detections_val_best_results.json
for model in every later; do
    sed -n "/^cat >$model.yaml <<'END'/,/^END/p" "$here/../train/run.sh" | sed '1d;$d' >$model.yaml
    check "a model of other modules is trained ($model)" train --data data/shapes.yaml --cfg $model.yaml --weights '' --epochs 6 --adam --logdir $model --plots never
    check "... validated" validate $model/exp0/weights/last.pt found
    check "... exported" export_onnx $model/exp0/weights/last.pt 104 136 --decode
    check "... and finds the same in onnxruntime" ask onnx_outputs.py found $model/exp0/weights/last.onnx data/images/val found/detections_val_last_results.json
done

# ---- TensorBoard ----

check "tensorboard reads a training's events" ask events.py runs/exp0 "$(cat data/labels/train/*.txt | wc -l)"

# ---- COCO ----

show=7 check "pycocotools scores our detections as expected" ask coco.py data/labels/val data/images/val \
    found/detections_val_best_results.json found.npz $map

# ---- the reference's own programs ----

[ -n "$reference" ] || skip "the reference's folder, REFERENCE=folder"
need "$here/requirements-reference.txt"
. "$here/reference.sh"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
