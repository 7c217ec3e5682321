# What is wrong from the start: command lines, folders, data sets, hyperparameters, pictures, disks. See run.sh.
. "$(dirname "$0")/lib.sh"

coordinator="$programs/coordinator"
new="$coordinator --run refused $task"

# ---- the command line ----

expected=2
refuse "an unknown option" "--generation-count" -- $new --generation-count 3
refuse "an option out of range" "--generations" -- $new --generations 0
refuse "an option that is no number" "--lease" "soon" -- $new --lease soon
refuse "an unknown option of a worker" "--gpus" -- "$programs/worker" --gpus 3
expected=1
refuse "an address for access files that is none" "--advertise" "he:ad" -- $new --bind tcp://127.0.0.1:18000 --advertise he:ad
refuse "an address that is none" "--bind 127.0.0.1:18000" "tcp://" -- $new --bind 127.0.0.1:18000
refuse "a worker that talks over TCP without keys" "--coordinator" "--insecure" -- \
    "$programs/worker" --cpu 1 --coordinator tcp://127.0.0.1:18000
refuse "a worker that is told nonsense" "--coordinator" "somewhere" -- "$programs/worker" --cpu 1 --coordinator somewhere
refuse "a folder that data starts from is missing" "--data-root" "nowhere" -- "$programs/worker" --cpu 1 --data-root nowhere
refuse "resuming is not evolving" "--resume" "--run" -- $new --resume last.pt

# ---- hyperparameters ----

hyps="$here/../../examples/hyps/hyp.scratch.yaml"
sed 's/^lr0: 0.01 /lr0: 11 /' "$hyps" >range.yaml
refuse "a hyperparameter out of range" "range.yaml:$(grep -n ^lr0 range.yaml | cut -d: -f1): lr0 is 11" -- $new --hyp range.yaml
{ cat "$hyps"; echo 'learning_rate: 1'; } >unknown.yaml
refuse "an unknown hyperparameter" "unknown.yaml:$(wc -l <unknown.yaml): unknown hyperparameter 'learning_rate'" -- $new --hyp unknown.yaml
echo 'learning_rate: [1, 0, 1]' >meta.yaml
refuse "a search space that nothing reads" "meta.yaml" "learning_rate" -- $new --meta meta.yaml
echo 'lr0: [1, 0.5, 0.1]' >limits.yaml
refuse "a search space with limits the wrong way round" "limits.yaml" "lr0" -- $new --meta limits.yaml
refuse "a fitness of two weights" "--fitness" "1 2" -- $new --fitness "1 2"

# ---- files ----

cp -r "$stage/data" data
find data -name '*.scan' -exec rm {} +
data_yaml() { printf 'train: %s\nval: images/val\nnc: %s\nnames: [%s]\n' "$1" "$2" "$3" >"data/$4.yaml"; }
refuse "a missing data yaml" "missing.yaml" -- $new --data missing.yaml
printf 'train: data/images/train\nval: [data/images/val\nnc: 3\n' >malformed.yaml
refuse "a malformed data yaml" "malformed.yaml:3" -- $new --data malformed.yaml
data_yaml images/nothing 3 'a, b, c' nothing
refuse "a picture folder that is not there" "data/nothing.yaml:1" "images/nothing" -- $new --data data/nothing.yaml
mkdir data/images/empty
data_yaml images/empty 3 'a, b, c' empty
refuse "an empty data set" "data/empty.yaml" "images/empty" -- $new --data data/empty.yaml
data_yaml images/train 4 'a, b, c' names
refuse "other names than classes" "data/names.yaml:4" -- $new --data data/names.yaml
refuse "missing weights" "missing.pt" -- $new --weights missing.pt
refuse "a missing model yaml" "missing.yaml" -- $new --cfg missing.yaml

# ---- what only a training finds out: the first candidate fails, and the run stops ----

# fails RUN OPTION...: the coordinator's exit status in $code, its log in RUN.log.
fails() {
    coordinate "$@" --generations 3 --local-workers 1
    finish $coordinator
}
start_coordinator=$coordinator
data_yaml images/train 2 'a, b' classes
fails classes $task --data data/classes.yaml
check "a label's class beyond nc stops the run with 3" [ $code -eq 3 ]
says "... and is named" classes.log "error:" "first candidate failed (data)" "label class 2" "nc=2"
sed 's/SPP, /Spp, /' "$stage/tiny.yaml" >module.yaml
fails module $task --cfg module.yaml
check "an unknown module stops the run with 3" [ $code -eq 3 ]
says "... and is named" module.log "error:" "first candidate failed" "module.yaml:$(grep -n Spp module.yaml | cut -d: -f1): unknown module 'Spp'"
check "... nothing is left running" none_left

# Pictures of the same size with other bytes in them are the same data set to the run, so they can be mended.
cp -r data unreadable
for picture in unreadable/images/train/*.jpg; do
    size=$(wc -c <"$picture")
    head -c "$size" /dev/zero >"$picture"
done
fails unreadable_run $task --data unreadable/shapes.yaml
check "nothing but broken pictures stop the run with 3" [ $code -eq 3 ]
says "... and that is said" unreadable_run.log "error:" "first candidate failed (data)" "none of the 16 pictures"
cp data/images/train/*.jpg unreadable/images/train
fails unreadable_run $task --data unreadable/shapes.yaml
check "... once they are mended the same command goes on" [ $code -eq 0 ]
complete "mended" unreadable_run 3

cp -r data one_broken
head -c "$(wc -c <one_broken/images/train/0003.jpg)" /dev/zero >one_broken/images/train/0003.jpg
fails one_broken_run $task --data one_broken/shapes.yaml
check "a broken picture among others does not stop a run" [ $code -eq 0 ]
complete "without it" one_broken_run 3
says "... and its worker names it" one_broken_run/workers/0.log "warning: left out: " "images/train/0003.jpg"
check "... once" [ "$(grep -c 'left out: ' one_broken_run/workers/0.log)" -eq 1 ]

# ---- folders ----

coordinate first $task --generations 2
first=$coordinator
wait_for 30 listening first.log
refuse "a second coordinator on a run folder" "another coordinator runs on" "first" "process $first" -- \
    "$programs/coordinator" --run first $task
refuse "... whatever it is called with" "process $first" -- "$programs/coordinator" --run ./first/../first
check "... the first one goes on" eval '! gone $first'
free_port
coordinate on_port $task --generations 2 --bind tcp://127.0.0.1:$port --insecure
wait_for 30 listening on_port.log
refuse "a port that is in use" "tcp://127.0.0.1:$port" "in use" -- "$programs/coordinator" --run refused $task --bind tcp://127.0.0.1:$port --insecure
refuse "... for every address" "tcp://*:$port" "in use" -- "$programs/coordinator" --run refused $task --bind "tcp://*:$port" --insecure
refuse "... for the dashboard" "$port" "in use" -- "$programs/coordinator" --run refused $task --dashboard 127.0.0.1:$port
kill9 $coordinator

"$programs/worker" --cpu 1 --run nowhere --give-up 1 --spool lost.spool >output 2>&1
check "no coordinator in that folder: the worker gives up with 1" [ $? -eq 1 ]
says "... and says so" output "error:" "nowhere" "--give-up"
free_port
start output "$programs/worker" --cpu 1 --coordinator tcp://127.0.0.1:$port --insecure --give-up 2 --spool lost.spool
finish $started
check "no coordinator at that address: the worker gives up with 1" [ $code -eq 1 ]
says "... and says so" output "error:" "tcp://127.0.0.1:$port" "--give-up"

# ---- another data set ----

cp -r data other
sed -i '1s/^. /2 /; 1s/^2 0/1 0/' other/labels/train/0005.txt
work j first --data-root other
finish $worker
check "a worker with one other label ends with 1" [ $code -eq 1 ]
says "... the difference is named" j.log "error:" "labels of train differ"
rm other/images/val/0001.jpg
cp data/labels/train/0005.txt other/labels/train/0005.txt
work k first --data-root other
finish $worker
check "a worker with a picture less ends with 1" [ $code -eq 1 ]
says "... the difference is named" k.log "error:" "val" "7" "8"
work l first --data-root data
finish $first
check "... a worker with a copy trains" [ $code -eq 0 ]
complete "with a copy" first 2

# ---- stores ----

# spoil NAME WORDS...: `coordinator --run first` refuses the store as it is now and leaves it alone.
spoil() {
    spoil_name=$1; shift
    cp first/store.sqlite spoilt.sqlite
    refuse "$spoil_name" "$@" -- "$programs/coordinator" --run first
    check "... which is left as it is" cmp spoilt.sqlite first/store.sqlite
    cp kept.sqlite first/store.sqlite
}
cp first/store.sqlite kept.sqlite
printf '\0\0\0\143' | dd of=first/store.sqlite bs=1 seek=60 conv=notrunc 2>/dev/null
spoil "a store of a later version" "store.sqlite" "99"
echo 'This is no store, but a text of more than one line, long enough to be read as a header by whoever tries.' |
    dd of=first/store.sqlite bs=1 conv=notrunc 2>/dev/null
spoil "a store whose beginning is damaged" "store.sqlite"
size=$(wc -c <first/store.sqlite)
head -c $((size - 4096 * 3)) /dev/zero | tr '\0' x | dd of=first/store.sqlite bs=4096 seek=3 conv=notrunc 2>/dev/null
spoil "a store that is damaged further on" "store.sqlite"
head -c 5000 kept.sqlite >first/store.sqlite
spoil "a store that is cut off" "store.sqlite"
coordinate first --generations 3 --local-workers 1
finish $coordinator
complete "... the true one goes on" first 3

# ---- disks ----

mkdir disk kept
# on_disk OPTIONS COMMAND...: in a mount namespace of its own, with a file system at disk/, a copy of which is in kept/ afterwards.
on_disk() {
    disk_options=$1; shift
    start disk.log unshare -m sh -c 'mount -t tmpfs -o "$0" none disk || exit 99; "$@"; code=$?; cp -r disk/. kept; exit $code' \
        "$disk_options" "$@"
}
on_disk size=64k true
finish $started
if [ $code -eq 0 ]; then
    : >disk.log
    on_disk size=1m "$programs/coordinator" --run disk/full $warm_task $long_training --generations 8
    full=$started
    inside() { nsenter -t $full --mount --root --wd "$@"; } # with its root: these tests may run below a chroot
    full_has() { [ "$(inside "$programs/tests/cluster/history" "$folder/disk/full" select "select count(*) from candidates where state = 'done'")" -ge "$1" ] 2>/dev/null; }
    # With a result that nobody takes, or without work: what fits on a full disk is not always the same.
    is_leased() { [ "$(inside "$programs/tests/cluster/history" "$folder/disk/full" select "select count(*) from attempts where state = 'leased'")" != 0 ]; }
    has_to_wait() { [ "$(find m.spool -name 'delivery-*')" ] || ! is_leased; }
    wait_for 30 listening disk.log
    start m.log "$programs/worker" --cpu 1 --spool m.spool --coordinator "$(sed -n 's/.*workers connect to //p' disk.log)"
    m=$started
    wait_for 60 full_has 2
    hold $m m
    inside dd if=/dev/zero of="$folder/disk/filler" bs=4k >/dev/null 2>&1
    kill -CONT "$trainer"
    check "a full disk holds a run up" wait_for 30 logged disk.log 'until there is space'
    full_has 7
    check "... before it is through" [ $? -ne 0 ]
    check "... and its worker waits" wait_for 30 has_to_wait
    inside rm "$folder/disk/filler"
    check "... with space again it goes on by itself" wait_for 30 logged disk.log 'space again'
    finish $full
    check "... to its end" [ $code -eq 0 ]
    complete "after the full disk" kept/full 8
    finish $m
    check "... its worker too" [ $code -eq 0 ]
    check "... with nothing left in its spool" [ -z "$(find m.spool -name 'delivery-*')" ]

    cp -r first read_only
    : >output
    start output unshare -m sh -c 'mount --bind read_only read_only && mount -o remount,bind,ro read_only || exit 99; exec "$@"' sh \
        "$programs/coordinator" --run read_only
    finish $started
    check "a read-only run folder ends a coordinator with 1" [ $code -eq 1 ]
    says "... which says so" output "error:" "read_only" "ead-only"
else
    skip "mount namespaces"
fi

theme_end
