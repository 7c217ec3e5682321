#!/bin/sh
# Drives the train.py of a YOLOv5 repository, of 2020 or later:
#
#   worker --gpu 0 --trainer "examples/trainers/pytorch.sh /path/to/yolov5 [OPTION...]"
#
# Further options go to train.py as they are; PYTHON says which Python (python3). A run for it is started with --external; releases
# whose hyps are not those of 2020-08-31 need their own: --hyp data/hyp.scratch-low.yaml --meta SPACE.yaml (docs/TRAINERS.md).
repository=$1
cd "$repository" && [ -f train.py ] || { echo "$0: there is no train.py in '$repository'" >&2; exit 1; }
shift
knows() { grep -q -e "'--$1'" train.py; }

if knows logdir; then # 2020: results.txt, an epoch a line, just as it is wanted
    set -- --logdir "$MENDEL_FOLDER/runs" "$@"
    ln -sf runs/exp0/results.txt "$MENDEL_RESULTS"
else # later
    set -- --project "$MENDEL_FOLDER/runs" --name exp "$@"
fi
if knows notest; then validate=--notest; else validate=--noval; fi
[ "$MENDEL_TEST_EVERY" = 0 ] || validate=
if knows img-size; then size=--img-size; else size=--imgsz; fi
[ -z "$MENDEL_WEIGHTS$MENDEL_CFG" ] || set -- --weights "$MENDEL_WEIGHTS" --cfg "$MENDEL_CFG" "$@"
[ -z "$MENDEL_DATA" ] || set -- --data "$MENDEL_DATA" "$@"
knows seed && set -- --seed "$MENDEL_SEED" "$@"

# Sizes are one word or two. Candidates validate at their end alone, unless what they reach on the way is asked for.
${PYTHON:-python3} train.py --hyp "$MENDEL_HYP" --epochs "$MENDEL_EPOCHS" --batch-size "$MENDEL_BATCH_SIZE" $size $MENDEL_IMG_SIZE \
    --device "$MENDEL_DEVICE" --nosave ${MENDEL_NOTEST:+$validate} ${MENDEL_ADAM:+--adam} ${MENDEL_RECT:+--rect} \
    ${MENDEL_MULTI_SCALE:+--multi-scale} ${MENDEL_SINGLE_CLS:+--single-cls} ${MENDEL_NOAUTOANCHOR:+--noautoanchor} \
    ${MENDEL_CACHE_IMAGES:+--cache} "$@" || exit

# Later releases write a table with commas: epoch, three losses, P, R, mAP@.5, mAP@.5:.95, three validation losses, learning rates.
table=$MENDEL_FOLDER/runs/exp/results.csv
[ -z "$MENDEL_KEEP" ] || cp "$MENDEL_FOLDER"/runs/exp*/weights/last.pt "$MENDEL_KEEP"
[ ! -f "$table" ] || awk -F, 'NR > 1 { print $5, $6, $7, $8, $9, $10, $11 }' "$table" >"$MENDEL_RESULTS"
