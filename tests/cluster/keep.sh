# Trained weights that stay in the run folder (--keep), and that come over TCP. See run.sh.
. "$(dirname "$0")/lib.sh"

# weighs FILE: a training can be evaluated with it.
weighs() {
    "$programs/train" --task val --data "$stage/data/shapes.yaml" --weights "$1" --img-size 64 --batch-size 8 --threads 1 \
        --precision fp32 --logdir evaluated
}
# The candidate with the best fitness, the earliest of equals, and the one that best.pt is of.
best_row="select number from candidates where state = 'done' order by 0.1 * (results ->> 2) + 0.9 * (results ->> 3) desc, arrival limit 1"
linked() { readlink "$1/weights/best.pt" | sed -n 's/^candidate_\([0-9]*\)\.pt$/\1/p'; }
best_is_linked() {
    best=$(select_from "$1" "$best_row")
    [ -n "$best" ] && [ "$(linked "$1")" = "$best" ] || { echo "best.pt: $(linked "$1"), the best row: $best"; return 1; }
}
count_kept() { find "$1/weights" -name 'candidate_*.pt' 2>/dev/null | wc -l; }
kept_is() { [ "$(count_kept "$1")" -eq "$2" ] || { ls -l "$1/weights"; return 1; }; }
# Nothing half done is left: neither in the run nor with workers.
tidy() {
    [ -z "$(find "$1" -name '*.part' -o -path '*/weights/*' -name '*.pt' ! -name 'candidate_*' ! -name best.pt)" ] &&
        [ -z "$(find . -path '*.spool/*' \( -name 'delivery-*' -o -path '*/weights/*' \))" ] ||
        { find "$1" . -name '*.part' -o -name 'delivery-*' -o -path '*.spool/weights/*'; return 1; }
}

# ---- workers of this machine ----

coordinate all $warm_task --generations 6 --keep all
wait_for 30 listening all.log
work a all; a=$worker
work b all --slots 2; b=$worker
finish $coordinator
check "--keep all: the run ends with 0" [ $code -eq 0 ]
finish $a
check "... its workers too" [ $code -eq 0 ]
finish $b
complete "--keep all" all 6
check "... the weights of every candidate are there" kept_is all 6
check "... best.pt is the best row's" best_is_linked all
check "... they can be evaluated" weighs all/weights/best.pt
check "... all of them differ" [ "$(cat all/weights/candidate_*.pt | wc -c)" -gt 0 -a "$(md5sum all/weights/candidate_*.pt | cut -c 1-32 | sort -u | wc -l)" -eq 6 ]
check "... nothing is left lying about" tidy all
"$programs/coordinator" best --run all >best.yaml 2>&1
says "... and \`best\` names them" best.yaml "weights/candidate_$(linked all).pt"

# Evaluated again, the weights give what the training gave: up to the half precision that they are kept in.
agrees() {
    weighs "all/weights/candidate_$1.pt" >evaluated.out 2>&1
    map=$(select_from all "select results ->> 2 from candidates where number = $1")
    awk -v map="$map" '$1 == "all" { found = 1; if ($6 - map < 0.02 && map - $6 < 0.02) good = 1 } END { exit !(found && good) }' evaluated.out ||
        { cat evaluated.out; echo "mAP@.5 $map was expected"; return 1; }
}
check "... and they are the ones that gave the result" agrees "$(linked all)"

coordinate best $warm_task --generations 8 --keep best --local-workers 2
finish $coordinator
check "--keep best: the run ends with 0" [ $code -eq 0 ]
complete "--keep best" best 8
check "... one file is kept" kept_is best 1
check "... of the best row" best_is_linked best
check "... it can be trained on" weighs best/weights/best.pt

coordinate best --run best --generations 9 --keep all --local-workers 1
finish $coordinator
check "a run goes on with another --keep" [ $code -eq 0 ]
complete "then all" best 9
check "... what comes now is kept" [ -s best/weights/candidate_9.pt ]
check "... best.pt is still that of the best row" best_is_linked best
coordinate best --generations 10 --local-workers 1
finish $coordinator
check "... and without a word it goes on as before" [ -s best/weights/candidate_10.pt ]
coordinate none $warm_task --generations 2 --local-workers 1
finish $coordinator
check "by default nothing is kept" [ ! -e none/weights ]

# ---- over TCP, with nothing shared ----

mkdir -p away/pictures away/desk
cp -r "$stage/data/." away/pictures
free_port
address=tcp://127.0.0.1:$port
work_over_tcp() {
    tcp_name=$1; shift
    start "$tcp_name.log" env -C "$folder/away/desk" HOME="$folder/away/$tcp_name" XDG_CACHE_HOME="$folder/away/$tcp_name.cache" \
        "$programs/worker" --cpu 1 --coordinator $address --insecure --data-root "$folder/away/pictures" \
        --spool "$folder/$tcp_name.spool" "$@"
    worker=$started
}
coordinate far $warm_task --generations 6 --keep all --bind $address --insecure
wait_for 30 listening far.log
work_over_tcp c; c=$worker
work_over_tcp d --slots 2; d=$worker
finish $coordinator
check "over TCP: the run ends with 0" [ $code -eq 0 ]
finish $c
finish $d
complete "over TCP" far 6
check "... all weights have come" kept_is far 6
check "... best.pt is the best row's" best_is_linked far
check "... it can be evaluated" weighs far/weights/best.pt
check "... nothing is left lying about" tidy far

# ---- who dies, and when ----

# A worker is killed while its weights wait: it brings them when it comes back, and its result counts once.
coordinate revenant $warm_task $long_training --generations 3 --keep all
wait_for 30 listening revenant.log
work e revenant; e=$worker
hold $e e
held=$(select_from revenant "select candidate from attempts where state = 'leased'")
kill -STOP $coordinator
kill -CONT "$trainer"
spooled() { [ -n "$(find e.spool -name 'delivery-*')" ]; }
wait_for 60 spooled
check "weights wait in the spool with their result" [ -n "$(find e.spool/weights -name '*.pt')" ]
kill9 $e
kill9 $coordinator
coordinate revenant $warm_task $long_training --generations 3 --keep all
work e revenant; e=$worker
finish $coordinator
check "both killed before the weights came: the run completes" [ $code -eq 0 ]
finish $e
complete "the weights come all the same" revenant 3
check "... all of them" kept_is revenant 3
check "... from one training" yields revenant "select attempts from candidates where number = $held" 1
check "... nothing is left lying about" tidy revenant

# The coordinator is killed again and again meanwhile.
coordinate restless $warm_task --generations 10 --keep all
work f restless; f=$worker
work g restless; g=$worker
for moment in 1 2 3; do
    wait_for 60 has_done restless $((moment * 2))
    kill9 $coordinator
    coordinate restless $warm_task --generations 10 --keep all
done
finish $coordinator
check "killed three times: the run completes" [ $code -eq 0 ]
finish $f
finish $g
complete "restless" restless 10
check "... all weights are there" kept_is restless 10
check "... best.pt is the best row's" best_is_linked restless

# ---- a full disk ----

# In a file system of its own: so small that no weights are to be kept, and the run goes on without.
if unshare -m true 2>/dev/null; then
    mkdir -p small
    cat >small.sh <<'SH'
mount -t tmpfs -o size=24m tmpfs small && "$@" && cp -r small/run . && cp small/run/store.sqlite* run/
SH
    start small.log unshare -m sh small.sh "$programs/coordinator" --run small/run $warm_task --generations 3 --keep all --local-workers 1
    finish $started
    check "a disk without room for weights: the run completes" [ $code -eq 0 ]
    complete "without room" run 3
    says "... it says why they are not kept" small.log "warning:" "weights of candidate" "not kept" "room for"
    check "... and has none" kept_is run 0
    check "... nor a part of one" [ -z "$(find run -name '*.part')" ]
else skip "the right to mount a small file system"; fi

theme_end
