# The reference's own programs on our checkpoints, and ours on its. Read by run.sh, with what that has defined and made; $reference is
# the folder of YOLOv5 as of 2020-08-31.

# its FOLDER PROGRAM ARGUMENT...: one of its programs, run from its folder. It writes caches beside the labels.
its() { (cd "$reference" && PYTHONPATH="$here" timeout 1800 "$python" "$here/reference.py" "$@"); }
# The line of the table for all classes, as six numbers.
table() { tr '\r' '\n' <"$1" | awk '$1 == "all" && NF == 7 { line = $2 " " $3 " " $4 " " $5 " " $6 " " $7 } END { print line }'; }

cat >absolute.yaml <<END
train: $folder/data/images/val
val: $folder/data/images/val
nc: 3
names: [disc, square, triangle]
END

its_test() { its test.py --weights "$folder/$weights/best.pt" --data "$folder/absolute.yaml" --img-size 128 --batch-size 16 --device cpu; }
check "its test.py runs on our best.pt" its_test
theirs=$(table check.out)
train --task val --data absolute.yaml --weights $weights/best.pt --plots never
check "... and prints the same table as ours" [ -n "$theirs" -a "$theirs" = "$(table train.out)" ]

its_detect() { its detect.py --weights "$folder/$weights/best.pt" --source "$folder/data/images/val" --output "$folder/detected" --img-size 128 --device cpu; }
check "its detect.py runs on it, too" its_detect
check "... and draws every picture" [ "$(find detected -name '*.png' | wc -l)" -eq 40 ]

# A training of ours (on few pictures) that is stopped once it has finished an epoch, and one of its that goes on with it.
"$programs/train" --data "$folder/absolute.yaml" --cfg "$models/yolov5n.yaml" --weights '' --precision fp32 --img-size 128 --epochs 60 \
    --noautoanchor --logdir "$folder/stopped" >train.out 2>&1 &
pid=$!
tries=0
while [ "$tries" -lt 6000 ] && [ ! -s stopped/exp0/results.txt ] && kill -0 $pid 2>/dev/null; do sleep 0.05; tries=$((tries + 1)); done
kill -s INT $pid 2>/dev/null
wait $pid
begun=$(wc -l <stopped/exp0/results.txt)
sed -i "s/^epochs: 60$/epochs: $((begun + 2))/" stopped/exp0/opt.yaml # two more are enough
check "its --resume goes on with a training of ours" its train.py --resume "$folder/stopped/exp0/weights/last.pt"
check "... to its end" [ "$(grep -c . stopped/exp0/results.txt)" -eq $((begun + 2)) -a "$begun" -lt 60 ]
train --task val --data absolute.yaml --weights stopped/exp0/weights/last.pt --iou-thres 0.6 --plots never
check "our validation runs on what it has saved" [ -n "$(table train.out)" ]
check "ours goes on from what it has saved" train --data absolute.yaml --weights stopped/exp0/weights/last.pt --cfg '' --epochs 1 --logdir further --plots never
check "... with all of it" grep -q '^Transferred 370/370 items' train.out
