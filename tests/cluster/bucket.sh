# Runs and trainings that share through a folder elsewhere: `--bucket`, with the real rclone, and a gsutil that copies files. See run.sh.
. "$(dirname "$0")/lib.sh"

examples=$(cd "$here/../../examples" && pwd)
sphere="--trainer $examples/trainers/sphere.sh --meta $examples/trainers/sphere.yaml --heartbeat 0.5 --lease $lease --no-dashboard"

# ---- addresses, whatever is installed ----

mkdir tools
cat >tools/gsutil <<'E'
#!/bin/sh
here=$(dirname "$0")
[ "$1 $2" = "-q cp" ] || exit 9
from=$(echo "$3" | sed "s#^gs:/#$here#") to=$(echo "$4" | sed "s#^gs:/#$here#")
[ -e "$from" ] || { echo "CommandException: No URLs matched: $3" >&2; exit 1; }
mkdir -p "$(dirname "$to")" && cp "$from" "$to"
E
chmod +x tools/gsutil
plain_path=$PATH
PATH="$folder/tools:$plain_path"
for address in bucket -config=x:y s3://bucket gs:// "gs://-x" /tmp/x; do
    refuse "'$address' is no bucket" "--bucket" "gs://BUCKET" "$address" -- "$programs/coordinator" --run refused $sphere "--bucket=$address"
done
refuse "nor for a training" "--bucket" "gs://BUCKET" -- "$programs/train" --data "$stage/data/shapes.yaml" --cfg "$stage/tiny.yaml" \
    --logdir refused --bucket s3://x

# ---- gs:// ----

coordinate google $sphere --bucket gs://ours/evolutions --generations 8 --local-workers 1
finish $coordinator
check "gs://: a run is shared" [ $code -eq 0 ]
check "... its rows" cmp google/evolve.txt tools/ours/evolutions/evolve.txt
check "... and the best" cmp google/hyp_evolved.yaml tools/ours/evolutions/hyp_evolved.yaml
check "... nothing of it stays in the run" [ ! -e google/bucket ]
complete "google" google 8
printf '0.5 0.5 0.5\n' >tools/ours/evolutions/evolve.txt
refuse "rows that make no sense are no start" "bucket.txt:1: column 4" -- \
    "$programs/coordinator" --run refused $sphere --bucket gs://ours/evolutions
coordinate google --generations 9 --local-workers 1 --trainer "$examples/trainers/sphere.sh" --no-dashboard
google=$coordinator
check "... nor are they replaced" wait_for 30 logged google.log "the bucket: .*fetched.txt:1: column 4.*trying again"
cp google/evolve.txt tools/ours/evolutions/evolve.txt # somebody mends it
finish $google
check "... once they are mended sharing goes on" cmp google/evolve.txt tools/ours/evolutions/evolve.txt
complete "extended" google 9

# ---- rclone ----

PATH=$plain_path
if ! command -v rclone >/dev/null; then
    skip rclone
    theme_end
    exit 0
fi
printf '[box]\ntype = local\n' >rclone.conf
export RCLONE_CONFIG="$folder/rclone.conf"
mkdir box

coordinate one $sphere --bucket "box:$folder/box" --generations 8 --local-workers 1
finish $coordinator
check "rclone: a run is shared" cmp one/evolve.txt box/evolve.txt
coordinate two $sphere --bucket "box:$folder/box" --generations 8 --local-workers 2 --run-seed 7
finish $coordinator
check "another one starts from its rows" yields two "select count(*) from candidates where state = 'imported'" "$(wc -l <one/evolve.txt)"
complete "two" two 8
check "... and its own are there as well" cmp two/evolve.txt box/evolve.txt
plain_rows() { tr -s ' ' <"$1" | sed 's/^ //' | LC_ALL=C sort; }
lost() { plain_rows "$1" >lost.a; plain_rows box/evolve.txt >lost.b; LC_ALL=C comm -23 lost.a lost.b; }
check "... nothing of the first is lost" [ -z "$(lost one/evolve.txt)" ]
coordinate one --generations 12 --local-workers 1 --trainer "$examples/trainers/sphere.sh" --no-dashboard
finish $coordinator
check "the first one, extended, takes in what is new there" yields one \
    "select count(*) > 0 from candidates where state = 'imported' and arrival > 0" 1
complete "one" one 12
check "... and both are there" [ -z "$(lost one/evolve.txt; lost two/evolve.txt)" ]

# Two at a time.
rm -r box/*
pids= seed=0
for name in left right; do
    coordinate $name $sphere --bucket "box:$folder/box" --generations 15 --local-workers 1 --run-seed $seed
    seed=$((seed + 1))
    pids="$pids $coordinator"
done
for pid in $pids; do finish $pid; done
for name in left right; do # whoever was first has not seen the other's last rows: it shares again
    coordinate $name
    finish $coordinator
    check "two at a time: $name ends well" [ $code -eq 0 ]
    check "... with children that can be bred again" verifies $name
done
check "... and all rows are there" [ -z "$(lost left/evolve.txt; lost right/evolve.txt)" ]

# ---- a remote that is away and comes back ----

free_port
mkdir dav
serve() { start dav.log rclone serve webdav dav --addr 127.0.0.1:$port; dav=$started; wait_for 30 answers; }
answers() { grep -qi ":$(printf %04X $port) 0*:0000 0A" /proc/net/tcp; }
serve
cat >waits.sh <<E
#!/bin/sh
until [ -e go ] || [ \$(cat turns 2>/dev/null | wc -l) -lt 3 ]; do sleep 0.05; done
echo >>turns
exec $examples/trainers/sphere.sh
E
chmod +x waits.sh
coordinate away --trainer ./waits.sh --meta "$examples/trainers/sphere.yaml" --heartbeat 0.5 --lease $lease --no-dashboard \
    --bucket ":webdav,url='http://127.0.0.1:$port':shared" --generations 6 --local-workers 1
away=$coordinator
is_shared() { cmp -s away/evolve.txt dav/shared/evolve.txt && [ "$(wc -l <away/evolve.txt)" -ge "$1" ]; }
check "WebDAV: a run is shared while it is under way" wait_for 60 is_shared 3
kill9 $dav
touch go
check "... a remote that is away holds nobody up" wait_for 60 has_done away 6
check "... and is said to be away" wait_for 60 logged away.log "the bucket: .*trying again"
kill9 $away
serve
coordinate away
finish $coordinator
check "... the same command shares what is missing when it is back" is_shared 6
complete "away" away 6
rm -f go turns
serve_later() { sleep 3; serve; }
coordinate back --trainer "$examples/trainers/sphere.sh" --meta "$examples/trainers/sphere.yaml" --heartbeat 0.5 --lease $lease --no-dashboard \
    --bucket ":webdav,url='http://127.0.0.1:$port':other" --generations 3 --local-workers 1
back=$coordinator
wait_for 30 listening back.log
kill9 $dav
wait_for 60 has_done back 3
serve
finish $back 120
check "... or the run itself, which waits for it at its end" cmp back/evolve.txt dav/other/evolve.txt

# ---- a training ----

train="$programs/train --data $stage/data/shapes.yaml --cfg $stage/tiny.yaml --weights= --img-size 64 --batch-size 8 --epochs 3 --threads 1
    --precision fp32 --noautoanchor --plots never --tensorboard never"
start trained.log $train --logdir trained --name small --bucket "box:$folder/box/t"
finish $started
check "a training shares" [ $code -eq 0 ] || cat trained.log
check "... its results" cmp trained/exp0_small/results_small.txt box/t/results/resultssmall.txt
check "... and its weights" cmp trained/exp0_small/weights/last_small.pt box/t/weights/last_small.pt
check "... the best as well" cmp trained/exp0_small/weights/best_small.pt box/t/weights/best_small.pt
check "... and leaves no copies behind" [ ! -e trained/exp0_small/results.shared ]

theme_end
