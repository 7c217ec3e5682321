#!/bin/sh
# `train` as its users run it: whole trainings, interrupted ones, candidates, and bad input.
#
#   tests/train/run.sh PROGRAM_FOLDER      (train, shapes, backend_cpu.so, tests/tests/train/candidate_test)
#
# A line for each check; the output of what went wrong. Closes with "N passed, N failed" and fails when one did.
[ $# -eq 1 ] || { echo "usage: $0 PROGRAM_FOLDER" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd) || exit 2
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 2
unset MENDEL_LOG OMP_NUM_THREADS
export XDG_CACHE_HOME="$folder/cache"
passed=0 failed=0

pass() { passed=$((passed + 1)); echo "ok       $1"; }
fail() {
    failed=$((failed + 1))
    echo "FAILED   $1: $2"
    [ ! -s output ] || sed 's/^/    | /' output | tail -n 15
}

# check NAME COMMAND...: passes when the command does.
check() {
    name=$1; shift
    if "$@" >check.out 2>&1; then pass "$name"; else cat check.out >>output; fail "$name" "$*"; fi
}

# ---- what is trained: 48 pictures of shapes, a detector of 40,000 parameters, two seconds at most ----

cp "$here/tiny.yaml" . || exit 2
"$programs/shapes" --out data --train 48 --val 8 --size 64 >output 2>&1 || { cat output; echo "0 passed, 1 failed"; exit 1; }

# train OPTION...: in one thread, in fp32, with everything above; its output in `output`, its exit status is returned.
train() {
    timeout 300 "$programs/train" --data data/shapes.yaml --cfg tiny.yaml --weights '' --img-size 64 --batch-size 16 \
        --epochs 3 --threads 1 --precision fp32 "$@" >output 2>&1
}

# refuse NAME WORDS OPTION...: fails with one sentence that has the words in it, and leaves no run folder.
refuse() {
    name=$1 words=$2; shift 2
    rm -rf refused
    train --logdir refused "$@"
    code=$?
    if [ $code -eq 0 ] || [ $code -ge 124 ]; then fail "$name" "exit status $code"
    elif [ "$(grep -c '^error: ' output)" -ne 1 ]; then fail "$name" "one error line was expected"
    elif ! grep '^error: ' output | grep -qF -e "$words"; then fail "$name" "'$words' was expected"
    elif [ -e refused ] && [ -n "$(find refused -type f)" ]; then fail "$name" "left $(find refused -type f | tr '\n' ' ')"
    else pass "$name"; fi
}

# ---- a whole training ----

lines() { wc -l <"$1" | tr -d ' '; }
columns() { awk '{ print NF }' "$1" | sort -u | tr '\n' ' '; }

check "a training runs to its end" train --logdir whole
check "... a line for each epoch" [ "$(lines whole/exp0/results.txt)" = 3 ]
check "... of 15 columns" [ "$(columns whole/exp0/results.txt)" = "15 " ]
check "... its hyperparameters are kept" grep -q '^lr0: 0.01$' whole/exp0/hyp.yaml
check "... its options are kept" grep -q '^batch_size: 16$' whole/exp0/opt.yaml
check "... its weights are kept" [ -s whole/exp0/weights/last.pt -a -s whole/exp0/weights/best.pt -a -s whole/exp0/weights/best.state.pt ]
check "... TensorBoard has its events" grep -q "brain.Event:2" whole/exp0/events.out.tfevents.*
for name in labels.png labels_correlogram.png results.png precision_recall_curve.png train_batch0.jpg train_batch1.jpg \
    train_batch2.jpg test_batch0_gt.jpg test_batch0_pred.jpg; do
    check "... there is $name" [ -s "whole/exp0/$name" ]
done
check "... nothing else is left" [ "$(find whole -type f | wc -l)" -eq 16 ]
for words in 'Model Summary' 'Optimizer groups' 'Image sizes 64 train, 64 test' 'dataloader workers' 'Using cpu' \
    'Hyperparameters' 'Analyzing anchors... anchors/target = ' 'Starting training for 3 epochs' '3 epochs completed in'; do
    check "... it says '$words'" grep -q "$words" output
done
check "the anchors need not be checked" train --logdir anchors --noautoanchor --epochs 1
check "... which then are not" [ "$(grep -c 'Analyzing anchors' output)" = 0 ]
check "plots and events can be left out" train --logdir quiet --tensorboard never --plots never
check "... all of them" [ "$(find quiet -type f | wc -l)" -eq 6 ]
check "... which makes no difference" cmp quiet/exp0/results.txt whole/exp0/results.txt
check "the next one gets a folder of its own" train --logdir whole --name trial --epochs 1
check "... named after it" [ -s whole/exp1_trial/weights/last_trial.pt -a -s whole/exp1_trial/results_trial.txt ]

evaluate() {
    weights=$1; shift
    timeout 300 "$programs/train" --task val --data data/shapes.yaml --weights "$weights" --img-size 64 --threads 1 "$@" >output 2>&1
}
check "its weights can be evaluated" evaluate whole/exp0/weights/best.pt --verbose
check "... with a line for all classes" grep -Eq '^ +all +8 +[0-9]+ ' output
check "... and the speed" grep -q '^Speed: ' output
check "... and pictures" [ -s runs/test/test_batch0_gt.jpg -a -s runs/test/test_batch0_pred.jpg -a -s runs/test/precision_recall_curve.png ]
check "... in another folder, or none" evaluate whole/exp0/weights/best.pt --save-dir elsewhere --plots never
check "... which is not even made" [ ! -e elsewhere ]
echo 'a file' >in_the_way
check "... even where they cannot be written" evaluate whole/exp0/weights/best.pt --save-dir in_the_way/test
check "... which is said" grep -q '^warning: .*in_the_way.* going on without plots' output
rm -rf runs
check "... with other rules of suppression" evaluate whole/exp0/weights/last.pt --merge --agnostic-nms --classes 0 2
evaluate whole/exp0/weights/last.pt --classes 3
check "... but not for classes that are not there" grep -q '^error: --classes: 0 to 2 was expected, found 3' output
check "detections go into a JSON file" evaluate whole/exp0/weights/best.pt --save-json --save-dir found --plots never
check "... named after split and weights" [ "$(ls found)" = detections_val_best_results.json ]
check "... which is a list" [ "$(head -c 1 found/detections_val_best_results.json)$(tail -n 1 found/detections_val_best_results.json)" = '[]' ]
cp data/shapes.yaml data/coco.yaml
evaluate whole/exp0/weights/best.pt --data data/coco.yaml --save-dir coco --plots never
check "... also without a word for COCO" [ -s coco/detections_val_best_results.json ]
evaluate whole/exp0/weights/best.pt --save-json --save-dir in_the_way/found --plots never
check "... but not where nothing can be written" grep -q '^error: .*in_the_way' output
export_onnx() { timeout 300 "$programs/train" --task export "$@" >output 2>&1; }
check "its weights can be exported" export_onnx --weights whole/exp0/weights/best.pt --img-size 90 64
check "... which is said, with the size rounded up" grep -q '^whole/exp0/weights/best.onnx: images (batch, 3, 96, 64), a raw head' output
check "... with the names of the classes" grep -q "{0: 'disc', 1: 'square', 2: 'triangle'}" whole/exp0/weights/best.onnx
check "... or with decoded boxes" export_onnx --weights whole/exp0/weights/last.pt --decode
check "... into a file beside them" [ -s whole/exp0/weights/last.onnx ]
rm -f whole/exp0/weights/*.onnx
check "a state alone can be, with its model's yaml" export_onnx --weights whole/exp0/weights/best.state.pt --cfg tiny.yaml
rm -f whole/exp0/weights/*.onnx
export_onnx --weights whole/exp0/weights/best.state.pt
check "... not without" grep -q '^error: .*best.state.pt holds no model yaml: give one with --cfg' output
check "... and nothing is left" [ -z "$(find whole -name '*.onnx')" ]
evaluate truncated.pt
check "... nor for weights that are not there" grep -q '^error: --weights: .*truncated.pt' output

check "--nosave keeps only the end" train --logdir nosave --nosave --notest
check "... without a validation the last results repeat" awk '{ for (i = 9; i <= 15; i++) if ((NR < 3) != ($i == 0) && i > 12) exit 1 }' nosave/exp0/results.txt
check "--single-cls takes all for one" train --logdir single --single-cls --epochs 1
# Whether a fitness ever stops growing is the training's own business: what is checked is that it ends where it says.
patient() {
    train --logdir patient --patience 2 --epochs 40 || return 1
    best=$(sed -n 's/^No better fitness in the last 2 epochs, the best was that of epoch \([0-9]*\): .*/\1/p' output)
    [ "$(lines patient/exp0/results.txt)" = "$([ -n "$best" ] && echo $((best + 3)) || echo 40)" ] && [ -s patient/exp0/weights/best.state.pt ]
}
check "--patience ends a training that gets no better" patient
check "--exist-ok takes the folder that is named" train --project taken --name mine --exist-ok --epochs 1
check "... again and again" train --project taken --name mine --exist-ok --epochs 2
check "... with what came last" [ "$(ls taken)" = mine -a "$(lines taken/mine/results_mine.txt)" = 2 ]
check "--reference 2020-07-20 trains as that version" train --logdir older --reference 2020-07-20 --optimizer Adam
check "... with its own hyperparameters" [ "$(head -n 1 older/exp0/hyp.yaml)" = "optimizer: adam" -a "$(lines older/exp0/hyp.yaml)" = 19 ]
check "... which it reads again" train --logdir older --reference 2020-07-20 --hyp older/exp0/hyp.yaml
check "... to the same results" cmp older/exp0/results.txt older/exp1/results.txt
train --logdir older --reference 2020-07-20 --epochs 1
check "... and the last epoch is never its best" [ -s older/exp2/weights/last.pt -a ! -e older/exp2/weights/best.pt ]
check "picture sizes are rounded up with a warning" train --logdir rounded --img-size 50 --epochs 1
check "... which says so" grep -q 'img-size 50 must be a multiple of .* 32, made it 64' output

# ---- anchors: 189 of 192 boxes are theirs, which is above .98 and below .99 ----

copy_data() { rm -rf "$1" && cp -r data "$1" && rm -f "$1"/labels/*.scan "$1"/*.scan && sed "s/shapes/$1/" data/shapes.yaml >"$1/data.yaml"; }
copy_data anchored
for labels in anchored/labels/train/*.txt; do
    third=0.5; case $labels in *[012]0.txt) third=0.03 ;; esac
    printf '0 0.3 0.3 0.16 0.2\n1 0.6 0.6 0.25 0.47\n2 0.5 0.4 %s 0.9\n1 0.5 0.5 0.5 0.36\n' $third >"$labels"
done
anchored() { train --data anchored/data.yaml --logdir anchors --epochs 1 "$@" && ! grep -q '^error' output; }
check "anchors that miss one box in 64 stay" anchored
check "... as they are" [ -z "$(grep kmeans output)" ]
check "... but for those of 2020-07-20" anchored --reference 2020-07-20
check "... which looks for better ones" grep -q 'Running kmeans for 9 anchors on 192 points' output

cat >every.yaml <<'END'
nc: 3
depth_multiple: 0.33
width_multiple: 0.25
anchors: [[10,13, 16,30, 33,23], [30,61, 62,45, 59,119]]
backbone:
  - [-1, 1, Conv, [64, 3, 1]]
  - [-1, 1, nn.MaxPool2d, [2, 2]]
  - [-1, 1, CrossConv, [96, 3, 1, 1, 1.0, True]]
  - [-1, 1, nn.MaxPool2d, [2, 2, 0]]
  - [-1, 1, MixConv2d, [96]]
  - [-1, 3, C3, [128]]
  - [-1, 1, DWConv, [256, 3, 2]]
  - [-1, 1, nn.BatchNorm2d, []]
  - [-1, 1, Bottleneck, [256]]
  - [-1, 1, SPP, [256]]
head:
  - [-1, 1, nn.Conv2d, [128, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 5], 1, Concat, [1]]
  - [-1, 1, BottleneckCSP, [128, False]]
  - [[13, 9], 1, Detect, [nc, anchors]]
END
cat >later.yaml <<'END'
nc: 3
depth_multiple: 0.33
width_multiple: 0.125
activation: nn.SiLU()
anchors: [[10,13, 16,30, 33,23], [30,61, 62,45, 59,119]]
backbone:
  - [-1, 1, Conv, [64, 6, 2, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 3, C3, [128]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 1, SPPF, [256, 5]]
head:
  - [[2, 4], 1, Detect, [nc, anchors]]
END
check "a model of every module trains" train --logdir every --cfg every.yaml --epochs 1
check "a model of a later release trains" train --logdir later --cfg later.yaml --epochs 1
check "frozen parameters are named" train --logdir frozen --freeze model.0.,model.1. --epochs 1
check "... each of them" [ "$(grep -c '^freezing model\.[01]\.' output)" = 6 ]
all_transferred() { sed -n 's|^Transferred \([0-9]*\)/\([0-9]*\) items from whole/exp0/weights/best.pt$|\1 \2|p' output | awk '{ exit $1 + left != $2 } END { exit !NR }' left="$1"; }
check "it starts from weights of its own" train --logdir tuned --weights whole/exp0/weights/best.pt --epochs 1
check "... all but the anchors" all_transferred 2
check "... and without a model yaml has all of them" train --logdir tuned --cfg '' --weights whole/exp0/weights/best.pt --epochs 1
check "... anchors and all" all_transferred 0

help() { "$programs/train" --help >output 2>&1 && grep -q -- '--batch-size' output && ! grep -q candidate-fd output; }
man() { "$programs/train" --man >output 2>&1 && head -n 1 output | grep -q '^\.TH' && grep -q 'batch.*size' output; }
version() { "$programs/train" --version | grep -Eq '^mendel-train [0-9]+\.[0-9]+'; }
probe() { "$programs/train" --probe --threads 1 >output 2>&1 && grep -q 'threads=1 .*supports=fp32' output; }
check "--help lists the options" help
check "--man is a man page" man
check "--version names the version" version
check "--probe describes the device" probe

# ---- what is not here ----

printf 'train: made/images/train\nval: made/images/val\nnc: 3\nnames: [disc, square, triangle]\ndownload: cp -r data made\n' >script.yaml
refuse "a data set's download script needs a word" "run only with --allow-download-script: cp -r data made" --data script.yaml
check "... and was not run" [ ! -e made ]
check "with --allow-download-script it is run" train --logdir fetched --data script.yaml --allow-download-script --epochs 1
check "... and what it brought is trained on" grep -q '^train: 48 images' output
refuse "weights that cannot be downloaded" "Without a network" --cfg '' --weights yolov5s.pt --weights-url http://127.0.0.1:1
check "... leave nothing behind" [ -z "$(ls | grep yolov5s)" ]

# ---- the same again ----

same() { cmp "$1/exp0/results.txt" "$2/exp0/results.txt"; }

train --logdir again
check "the same seed gives the same results" same whole again
train --logdir workers4 --workers 4
train --logdir workers0 --workers 0
check "... with four loader threads too" same whole workers4
check "... and with none" same whole workers0
train --logdir cached --cache-images
check "... and with pictures kept in memory" same whole cached
train --logdir threads2 --threads 2 --epochs 1
train --logdir threads2again --threads 2 --epochs 1
check "... and with two compute threads, time after time" same threads2 threads2again
train --logdir seed2 --seed 2
check "another seed gives others" [ "$(cat seed2/exp0/results.txt)" != "$(cat whole/exp0/results.txt)" ]

# ---- interrupted ----

resume() { timeout 300 "$programs/train" --resume "$@" >output 2>&1; }

# begin LOGDIR OPTION...: a training of 40 epochs in the background, its process in $pid, when it has finished two.
begin() {
    logdir=$1; shift
    "$programs/train" --data data/shapes.yaml --cfg tiny.yaml --weights '' --img-size 64 --batch-size 16 --epochs 40 \
        --threads 1 --precision fp32 --logdir "$logdir" "$@" >output 2>&1 &
    pid=$!
    tries=0
    while [ "$tries" -lt 3000 ] && { [ ! -e "$logdir/exp0/results.txt" ] || [ "$(lines "$logdir/exp0/results.txt")" -lt 2 ]; }; do
        sleep 0.01
        tries=$((tries + 1))
    done
}

# interrupt SIGNAL LOGDIR OPTION...: send it the signal.
interrupt() {
    signal=$1; shift
    begin "$@"
    kill -s "$signal" $pid 2>/dev/null
    wait $pid
    code=$?
    [ "$(lines "$logdir/exp0/results.txt")" -lt 40 ]
}

train --logdir long --epochs 40
check "a training is killed" interrupt KILL killed
check "... and goes on" resume killed/exp0/weights/last.pt
check "... to the very end of one that was left alone" cmp killed/exp0/results.txt long/exp0/results.txt
check "... and the very weights" cmp killed/exp0/weights/last.pt long/exp0/weights/last.pt
check "... its old weights were copied first" [ -n "$(find killed/exp0 -path '*weights_backup_epoch*' -name last.pt)" ]
killed_at=$(ls -d killed/exp0/weights_backup_epoch* | sed 's/.*epoch//')
check "weights in mid-training can be fine-tuned" train --logdir further --weights "killed/exp0/weights_backup_epoch$killed_at/last.pt" --epochs 1
check "... for so many epochs more" grep -q "has been trained for $((killed_at + 1)) epochs. Fine-tuning for 1 additional epochs" output
check "... whose results follow those before" [ "$(lines further/exp0/results.txt)" = $((killed_at + 2)) ]
check "a training is asked to end" interrupt TERM runs
check "... leaves with 130" [ "$code" = 130 ]
check "... and goes on, found below runs/" resume
check "... to the very end of one that was left alone" cmp runs/exp0/results.txt long/exp0/results.txt
check "... and the very weights" cmp runs/exp0/weights/best.pt long/exp0/weights/best.pt
resume killed/exp0/weights/last.pt
check "a finished training is not resumed" grep -q '^error: .*is finished, there is nothing to resume' output
check "... and its results stay" cmp killed/exp0/results.txt long/exp0/results.txt
resume nowhere/last.pt
check "resuming from nothing is refused" grep -q '^error: --resume: no checkpoint nowhere/last.pt' output

# ---- several devices ----

two="--device cpu,cpu --threads 2"
check "two devices share a training" train --logdir two $two
check "... which says so" grep -q '^Using 2 x cpu .*, 1 threads' output
check "... each with a part of the batch" [ "$(lines two/exp0/results.txt)" = 3 ]
train --logdir twoagain $two
check "... with the same results again" same two twoagain
check "... other ones with batch-norm over both" train --logdir synced $two --sync-bn
check "... indeed" [ "$(cat synced/exp0/results.txt)" != "$(cat two/exp0/results.txt)" ]
for number in 1 0; do # as torchrun starts them; rank 0 is waited for
    RANK=$number LOCAL_RANK=$number WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + $$ % 12000)) timeout 300 \
        "$programs/train" --data data/shapes.yaml --cfg tiny.yaml --weights '' --img-size 64 --batch-size 16 --epochs 3 \
        --threads 2 --precision fp32 --logdir launched >"output$number" 2>&1 &
done
wait $!
cp output0 output
check "a launcher's processes are ranks" same two launched
wait
check "... of which the first alone has something to say" [ ! -s output1 ]
train --logdir long2 $two --epochs 40
check "two devices are killed" interrupt KILL killed2 $two
check "... go on" resume killed2/exp0/weights/last.pt
check "... to the very end of those that were left alone" cmp killed2/exp0/results.txt long2/exp0/results.txt
check "... and the very weights" cmp killed2/exp0/weights/last.pt long2/exp0/weights/last.pt
check "they are asked to end" interrupt TERM ended2 $two
check "... and leave with 130" [ "$code" = 130 ]
check "... and go on from there" resume ended2/exp0/weights/last.pt
check "... to that end" cmp ended2/exp0/results.txt long2/exp0/results.txt
begin lost2 $two --epochs 1000
kill -KILL $(pgrep -P $pid) 2>/dev/null
wait $pid
code=$?
check "one that loses the other ends" [ "$code" = 1 ]
check "... and says why" grep -q '^error: rank 1 was ended by signal 9' output
refuse "a batch that the devices cannot share" "--batch-size 15: a multiple of the 2 devices was expected" --device cpu,cpu --batch-size 15
refuse "a missing device" "a device is missing between commas" --device cpu,,cpu
RANK=3 WORLD_SIZE=2 train --logdir refused
check "a launcher that cannot count" grep -q "^error: RANK: 0 to 1 was expected of the launcher, found '3'" output

# ---- bad input ----


refuse "a missing data yaml" missing.yaml --data missing.yaml
printf 'train: data/images/train\nval: [data/images/val\nnc: 3\n' >malformed.yaml
refuse "a malformed data yaml names its line" malformed.yaml: --data malformed.yaml
printf 'train: data/images/nothing\nval: data/images/val\nnc: 3\nnames: [a, b, c]\n' >nothing.yaml
refuse "a picture folder that is not there" data/images/nothing --data nothing.yaml
printf 'train: data/images/train\nval: data/images/val\nnc: 4\nnames: [a, b, c]\n' >names.yaml
refuse "other names than classes" names.yaml:4 --data names.yaml
printf 'train: data/images/train\nval: data/images/val\nnc: 2\nnames: [a, b]\n' >classes.yaml
refuse "a label's class beyond nc names file and line" .txt: --data classes.yaml
mkdir -p empty/images/train
printf 'train: empty/images/train\nval: data/images/val\nnc: 3\nnames: [a, b, c]\n' >empty.yaml
refuse "an empty data set" empty/images/train --data empty.yaml
copy_data unlabelled
rm -rf unlabelled/labels/train
refuse "a data set without labels" label --data unlabelled/data.yaml
copy_data mislabelled
first=$(find mislabelled/labels/train -name '*.txt' | sort | head -n 1)
printf '0 0.5 0.5 0.2 0.2\n0 0.5 0.5 1.2 0.2\n' >"$first"
refuse "a label outside its picture names file and line" "$first:2" --data mislabelled/data.yaml
copy_data corrupt
for picture in $(find corrupt/images/train -name '*.jpg' | sort | head -n 3); do head -c 300 "$picture" >cut && mv cut "$picture"; done
echo 'no picture' >"$picture"
check "broken pictures are left out" train --data corrupt/data.yaml --logdir corrupted --epochs 1
check "... and named" grep -q "warning: .*$picture" output
for picture in $(find corrupt/images/train -name '*.jpg'); do echo 'no picture' >"$picture"; done
refuse "nothing but broken pictures" "corrupt/data.yaml: train: none of the 48 pictures" --data corrupt/data.yaml

sed 's/^lr0:.*/lr0: 11/' whole/exp0/hyp.yaml >range.yaml
refuse "a hyperparameter out of range names file and line" range.yaml:1 --hyp range.yaml
{ cat whole/exp0/hyp.yaml; echo 'learning_rate: 1'; } >unknown.yaml
refuse "an unknown hyperparameter" learning_rate --hyp unknown.yaml
sed '/^mixup/d' whole/exp0/hyp.yaml >lacking.yaml
refuse "a missing hyperparameter" mixup --hyp lacking.yaml

sed 's/SPP, /Spp, /' tiny.yaml >module.yaml
refuse "an unknown module names its line" "module.yaml:16: unknown module 'Spp'" --cfg module.yaml
sed 's/\[\[3, 4, 6\]/[[3, 4, 9]/' tiny.yaml >from.yaml
refuse "a layer that reads from nowhere names its line" from.yaml:18 --cfg from.yaml
sed 's/\[-1, 1, SPP.*/[[4, 5], 1, Concat, [1]]/' tiny.yaml >sizes.yaml
refuse "layers that do not go together name their line" "line 16" --cfg sizes.yaml
refuse "a missing model yaml" missing.yaml --cfg missing.yaml
refuse "frozen parts that are not there" "no parameter has 'nothing' in its name" --freeze nothing
refuse "neither model nor weights" "--cfg or --weights" --cfg ''

head -c 20000 whole/exp0/weights/last.pt >truncated.pt
refuse "truncated weights" "truncated.pt is no complete torch file" --weights truncated.pt
echo 'no weights' >text.pt
refuse "weights that are none" "text.pt is no torch file" --weights text.pt
refuse "missing weights" missing.pt --weights missing.pt
mkdir -p broken/exp0/weights && cp truncated.pt broken/exp0/weights/last.pt && cp whole/exp0/*.yaml broken/exp0
resume broken/exp0/weights/last.pt
check "a truncated checkpoint is not resumed" grep -q '^error: .*last.pt is no complete torch file' output

refuse "an unknown option" "--epoch-count" --epoch-count 3
refuse "an option out of range" "--epochs" --epochs 0
refuse "an option that is no number" "--epochs" --epochs many
refuse "a device that is not there" "--device" --device tpu
refuse "a precision that the device lacks" "fp16" --precision fp16
refuse "picture sizes beyond reason" "--img-size" --img-size 20000

# A path through a regular file cannot be written by anyone, root included.
echo 'a file' >file
refuse "a run folder that cannot be made" "file" --logdir file/runs
train --logdir file/runs
check "... and what was there stays" grep -q 'a file' file

# ---- a full disk ----

# on_small_disk SIZE COMMAND: with a file system of that size at disk/.
on_small_disk() { unshare -m sh -c "mount -t tmpfs -o size=$1 none disk && $2"; }
mkdir -p disk kept
if on_small_disk 64k true 2>/dev/null; then
    quiet='--plots never --tensorboard never'
    command="'$programs/train' --data data/shapes.yaml --cfg tiny.yaml --weights '' --img-size 64 --batch-size 16 --epochs 3 \
        --threads 1 --precision fp32 --logdir disk $quiet >output 2>&1; code=\$?; cp -r disk/. kept; exit \$code"
    on_small_disk 200k "$command"
    check "a full disk ends a training" [ $? -eq 1 ]
    check "... with a sentence that names the file" grep -q '^error: .*disk/exp0/weights/last.pt.*No space left' output
    check "... and no half of a checkpoint" [ -z "$(find kept/exp0/weights -type f)" ]
    rm -rf kept/*
    size=$(du -k killed/exp0/weights_backup_epoch*/last.pt | cut -f1)
    on_small_disk "$((size * 5 / 2 + 40))k" "$command" # room for the first last.pt and best.pt alone
    check "a disk that fills up later ends a training" [ $? -eq 1 ]
    check "... which keeps its last checkpoint" resume kept/exp0/weights/last.pt
    check "... and loses nothing" cmp kept/exp0/results.txt whole/exp0/results.txt
else
    echo "skipped: needs mount"
fi

# ---- evolution ----

if [ -x "$programs/coordinator" ] && [ -x "$programs/worker" ]; then
    export XDG_STATE_HOME="$folder/state"
    check "--evolve evolves" train --evolve 2 --name two --epochs 1
    check "... so many candidates" [ "$(lines runs/evolve_two/evolve.txt)" = 2 ]
    check "... of the options that were given" grep -q 'train with the best:' output
    train --evolve --resume
    check "--evolve and --resume do not go together" grep -q '^error: --evolve and --resume' output
else
    echo "skipped: needs coordinator and worker"
fi

# ---- candidates ----

if "$programs/tests/tests/train/candidate_test" "$programs/train" "$folder/data" tiny.yaml >output 2>&1; then
    passed=$((passed + $(sed -n 's/.*\[  PASSED  \] \([0-9]*\) test.*/\1/p' output)))
    echo "ok       candidates"
else
    fail "candidates" "candidate_test"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
