# Trainers of other kinds: `worker --trainer CMD` in whole clusters, and the examples. See run.sh.
. "$(dirname "$0")/lib.sh"

examples=$(cd "$here/../../examples" && pwd)
sphere="--trainer $examples/trainers/sphere.sh --meta $examples/trainers/sphere.yaml --heartbeat 0.5 --lease $lease"
elsewhere="--external --meta $examples/trainers/sphere.yaml --heartbeat 0.5 --lease $lease"

# ---- ten lines of shell ----

coordinate sphere $sphere --generations 20 --local-workers 2
finish $coordinator
check "ten lines of shell are a trainer" [ $code -eq 0 ]
complete "sphere" sphere 20
check "... every result is that of its hyperparameters" yields sphere \
    "select count(*) from candidates where abs(results ->> 3 - 1 / (1 + (hyps ->> 'x' - 0.3) * (hyps ->> 'x' - 0.3) + (hyps ->> 'y' - 0.7) * (hyps ->> 'y' - 0.7))) < 1e-8" 20
check "... and says who trained it" yields sphere "select count(*) from attempts where precision = 'external' and device = 'cpu'" 20
says "... the end names the best" sphere.log "the run's own trainer, with" "sphere/hyp_evolved.yaml"
refuse "going on with local workers needs the command" "--local-workers" "--trainer" -- \
    "$programs/coordinator" --run sphere --generations 22 --local-workers 1
coordinate sphere --generations 22 --local-workers 1 --trainer "$examples/trainers/sphere.sh"
finish $coordinator
complete "extended" sphere 22

# ---- workers with commands of their own, without a data set, over TCP ----

free_port
coordinate far $elsewhere --generations 6 --bind tcp://127.0.0.1:$port --insecure
far=$coordinator
wait_for 30 listening far.log
cat >loud.sh <<'E'
#!/bin/sh
[ "$1" = 'two words' ] || exit 9
echo "trained by $2" >&2
exec "$3"
E
chmod +x loud.sh
start far_a.log "$programs/worker" --cpu 1 --coordinator tcp://127.0.0.1:$port --insecure --spool far_a.spool \
    --trainer "./loud.sh 'two words' me\\ alone $examples/trainers/sphere.sh"
far_a=$started
finish $far
check "a worker elsewhere brings its command along" [ $code -eq 0 ]
finish $far_a
check "... and leaves when the run is over" [ $code -eq 0 ]
complete "far" far 6

# ---- what it leaves to be kept ----

cat >keeps.sh <<E
#!/bin/sh
[ -z "\$MENDEL_KEEP" ] || cat "\$MENDEL_HYP" >"\$MENDEL_KEEP"
exec $examples/trainers/sphere.sh
E
chmod +x keeps.sh
coordinate kept $elsewhere --trainer ./keeps.sh --keep all --generations 3 --local-workers 1
finish $coordinator
complete "kept" kept 3
check "what it leaves is kept" [ "$(find kept/weights -type f | wc -l)" -eq 3 ]

# ---- who does not belong ----

coordinate mixed $elsewhere --generations 2; mixed=$coordinator
wait_for 30 listening mixed.log
work own mixed
finish $worker
check "Mendel's own trainer is refused by a run of another" [ $code -eq 1 ]
says "... with what is missing" own.log "error:" "worker --trainer CMD"
work other mixed --trainer "$examples/trainers/sphere.sh"
finish $mixed
complete "mixed" mixed 2
coordinate plain $task --generations 1; plain=$coordinator
wait_for 30 listening plain.log
work other2 plain --trainer "$examples/trainers/sphere.sh"
finish $worker
check "another trainer is refused by a run of Mendel's own" [ $code -eq 1 ]
says "... which says so" other2.log "error:" "Mendel's own trainer"
kill9 $plain
refuse "a command that is not there" "--trainer" "/nowhere/train.sh" -- "$programs/worker" --cpu 1 --trainer "/nowhere/train.sh --fast"
refuse "a quote without its end" "--trainer" "quote does not end" -- "$programs/worker" --cpu 1 --trainer "sh 'x"
refuse "local workers without a command" "--local-workers" "--trainer CMD" -- \
    "$programs/coordinator" --run refused $elsewhere --local-workers 1
refuse "a run of Mendel's own with a command" "--trainer" "plain" -- \
    "$programs/coordinator" --run plain --trainer "$examples/trainers/sphere.sh"
sed 's/high: 5/high: 6/' "$examples/trainers/sphere.yaml" >wider.yaml
refuse "other limits than the run was started with" "sphere goes on only as it was started" "search space" -- \
    "$programs/coordinator" --run sphere $elsewhere --meta wider.yaml
printf 'a b: [1, 0, 1]\n' >spaced.yaml
refuse "a key that is none" "spaced.yaml" "'a b'" -- "$programs/coordinator" --run refused --external --meta spaced.yaml
printf 'z: [1, 0, 1]\n' >z.yaml
refuse "a key that the trainer does not take" "z.yaml" "'z' is not in" -- \
    "$programs/coordinator" --run refused --external --meta z.yaml --hyp "$examples/hyps/hyp.scratch.yaml"

# ---- what goes wrong ----

printf '#!/bin/sh\necho out of luck\nexit 3\n' >fails.sh
printf '#!/bin/sh\necho nan >"$MENDEL_RESULTS"\n' >nan.sh
chmod +x fails.sh nan.sh
coordinate fails $elsewhere --generations 3 --trainer ./fails.sh --local-workers 1
finish $coordinator
check "a command that fails stops the run with 3" [ $code -eq 3 ]
says "... with its exit code" fails.log "error:" "first candidate failed (crash)" "exit code 3"
check "... and what it printed is kept" yields fails "select count(*) from attempts where log like '%out of luck%'" 2
coordinate nan $elsewhere --generations 3 --trainer ./nan.sh --local-workers 1
finish $coordinator
check "results that are no numbers stop it too" [ $code -eq 3 ]
says "... for that reason" nan.log "error:" "first candidate failed (nan)" "not finite"

# It trains until it is let go: whatever happens to its worker meanwhile.
cat >waits.sh <<E
#!/bin/sh
echo \$\$ >>pids
until [ -e go ]; do sleep 0.05; done
exec $examples/trainers/sphere.sh
E
chmod +x waits.sh
coordinate waits $elsewhere --generations 2; waits=$coordinator
wait_for 30 listening waits.log
has_pids() { [ -e pids ] && [ "$(wc -l <pids)" -ge "$1" ]; }
work v waits --trainer ./waits.sh; v=$worker
wait_for 30 has_pids 1
kill9 $v
check "a killed worker takes its command along" wait_for 20 all_gone $(cat pids)
work w waits --trainer ./waits.sh; w=$worker
wait_for 60 has_pids 2
kill -TERM $w
finish $w
check "a worker that is told to go hands its candidate on" [ $code -eq 0 ]
check "... takes its command along" all_gone $(cat pids)
check "... and counts no failure" yields waits "select count(*) from attempts where state = 'yielded'" 1
touch go
work x waits --trainer ./waits.sh
finish $waits
check "... which the next one trains anew" [ $code -eq 0 ]
complete "handed on" waits 2

# ---- YOLOv5's train.py, of two ages, played by a shell ----

mkdir yolov5 later
cat >yolov5/train.py <<'E'
# '--logdir' '--notest' '--img-size'
logdir= hyp= data= weights=missing
while [ $# -gt 0 ]; do
    case $1 in
    --logdir) logdir=$2; shift ;; --hyp) hyp=$2; shift ;; --data) data=$2; shift ;; --weights) weights=$2; shift ;; --cfg) cfg=$2; shift ;;
    --epochs) epochs=$2; shift ;; --batch-size) batch=$2; shift ;; --img-size) sizes="$2 $3"; shift 2 ;; --device) device=$2; shift ;;
    --nosave | --notest | --adam | --extra) flags="$flags $1" ;;
    *) echo "unknown option $1"; exit 2 ;;
    esac
    shift
done
[ "$epochs $batch $sizes $device$flags" = "2 8 64 64 cpu --nosave --notest --adam --extra" ] || { echo "$epochs $batch $sizes $device$flags"; exit 3; }
[ -z "$weights" ] && grep -q 'BottleneckCSP' "$cfg" && grep -q '^momentum: ' "$hyp" || { echo "weights '$weights' cfg '$cfg'"; exit 4; }
[ -d "$(sed -n 's/^train: //p' "$data")" ] && [ -d "$(sed -n 's/^val: //p' "$data")" ] && grep -q '^nc: 3' "$data" || { cat "$data"; exit 5; }
mkdir -p "$logdir/exp0"
lr0=$(sed -n 's/^lr0: //p' "$hyp")
for epoch in 0 1; do
    echo "$epoch/1 0G 0.1 0.1 0.1 0.3 4 64 0.5 0.5 $lr0 $lr0 0.1 0.1 0.1"
done | while read -r line; do printf '%10s%10s%10s%10s%10s%10s%10s%10s%10s%10s%10s%10s%10s%10s%10s\n' $line; done >"$logdir/exp0/results.txt"
E
coordinate torch --external --data "$stage/data/shapes.yaml" --cfg "$stage/tiny.yaml" --epochs 2 --batch-size 8 --img-size 64 --adam \
    --generations 3 --heartbeat 0.5 --lease $lease
torch=$coordinator
wait_for 30 listening torch.log
PYTHON=sh work t torch --trainer "$examples/trainers/pytorch.sh yolov5 --extra"
finish $torch
check "pytorch.sh drives a train.py of 2020" [ $code -eq 0 ] || cat t.log
complete "torch" torch 3
check "... its last line counts" yields torch "select count(*) from candidates where abs(results ->> 3 - hyps ->> 'lr0') < 1e-9" 3
cp -r "$stage/data" other
rm other/images/train/0001.jpg
coordinate checked --external --data "$stage/data/shapes.yaml" --generations 1; checked=$coordinator
wait_for 30 listening checked.log
work u checked --trainer ./waits.sh --data-root other
finish $worker
check "with --data a worker's data set is compared all the same" [ $code -eq 1 ]
says "... and the difference named" u.log "error:" "train"
kill9 $checked

cat >later/train.py <<'E'
# '--project' '--name' '--noval' '--imgsz' '--seed'
while [ $# -gt 0 ]; do
    case $1 in
    --project) project=$2 ;; --name) name=$2 ;; --hyp) hyp=$2 ;; --seed) seed=$2 ;; --epochs | --batch-size | --device) ;;
    --imgsz) [ "$2 $3" = "640 640" ] || exit 2; shift ;;
    --nosave | --noval) set -- x "$@" ;;
    *) echo "unknown option $1"; exit 2 ;;
    esac
    shift 2
done
[ "$seed" = 1 ] && grep -q '^label_smoothing: 0.1' "$hyp" || exit 3
mkdir -p "$project/$name"
box=$(sed -n 's/^box: //p' "$hyp")
printf 'epoch, train/box_loss, ...\n 0, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 2, 2, 2, 0.1\n 1, 1, 1, 1, 0.5, 0.5, %s, %s, 2, 2, 2, 0.1\n' \
    "$box" "$box" >"$project/$name/results.csv"
E
printf 'box: 0.05\ncls: 0.5\nlabel_smoothing: 0.1\n' >hyp.later.yaml
printf 'box: [1, 0.02, 0.2]\n' >meta.later.yaml
coordinate later_run --external --hyp hyp.later.yaml --meta meta.later.yaml --generations 4 --heartbeat 0.5 --lease $lease; later=$coordinator
wait_for 30 listening later_run.log
PYTHON=sh work l later_run --trainer "$examples/trainers/pytorch.sh later"
finish $later
check "... and a later one, with hyps of its own" [ $code -eq 0 ]
complete "later" later_run 4
check "... whose table is read" yields later_run "select count(*) from candidates where abs(results ->> 3 - hyps ->> 'box') < 1e-9" 4
check "... the best has those that do not evolve as well" grep -q '^label_smoothing: 0.1$' later_run/hyp_best.yaml

theme_end
