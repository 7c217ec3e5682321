# Runs that nothing happens to: from start to end, extended, warm, side by side, paused, repeated. See run.sh.
. "$(dirname "$0")/lib.sh"

is_png() { [ "$(head -c 4 "$1" | tail -c 3)" = PNG ]; }

# ---- two workers ----

coordinate plain $warm_task --generations 12
wait_for 30 listening plain.log
work a plain; a=$worker
work b plain; b=$worker
finish $coordinator
check "two workers: the coordinator ends with 0" [ $code -eq 0 ]
finish $a
check "... the first worker too" [ $code -eq 0 ]
finish $b
check "... and the second" [ $code -eq 0 ]
complete "two workers" plain 12
check "... both have trained" yields plain "select count(distinct worker) from attempts" 2
check "... no training was for nothing" yields plain "select count(*) from attempts" 12
check "... every result says how it came about" yields plain \
    "select count(*) from attempts where device <> '' and precision = 'fp32' and threads = 1 and seconds > 0 and peak_memory > 1000000" 12
first_lr0() { awk 'NR == 1 { print $8 }' plain/evolve.txt; }
has_best() { awk -v best="$(first_lr0)" '$1 == "lr0:" { exit !($2 > best * 0.99 && $2 < best * 1.01) }' plain/hyp_evolved.yaml; }
check "... hyp_evolved.yaml has the best" has_best
check "... evolve.png is a picture" is_png plain/evolve.png
check "... nothing is left in the spools" [ -z "$(find . -name 'delivery-*')" ]
check "... nor where they met" [ -z "$(ls "$XDG_RUNTIME_DIR/mendel")" ]
check "... nor any process" none_left

# ---- a worker that comes too late ----

work late plain
finish $worker 30
check "a worker that comes when its run is over leaves with 0" [ $code -eq 0 ]
says "... and says so" late.log "the run in plain is over"

# ---- the same folder ----

cp plain/evolve.txt before.txt
coordinate plain
finish $coordinator
check "a finished run ends at once" [ $code -eq 0 ]
check "... with what it had" cmp before.txt plain/evolve.txt
coordinate plain $warm_task --generations 15 --local-workers 2
finish $coordinator
check "more generations extend it" [ $code -eq 0 ]
complete "extended" plain 15
coordinate plain --generations 17
check "... one that is extended is not over" wait_for 30 eval '[ ! -e plain/finished ]'
kill9 $coordinator
coordinate plain --generations 17 --local-workers 1
finish $coordinator
check "... until it is" [ -e plain/finished ]
complete "extended without any other option" plain 17

refuse "other epochs are refused" "plain goes on only as it was started" "epochs" -- \
    "$programs/coordinator" --run plain $warm_task --epochs 2
refuse "another strategy" "strategy" "random" -- "$programs/coordinator" --run plain $warm_task --strategy random
refuse "another run seed" "run-seed" -- "$programs/coordinator" --run plain $warm_task --run-seed 5
sed 's/^lr0: 0.01 /lr0: 0.02 /' "$here/../../examples/hyps/hyp.scratch.yaml" >other_hyp.yaml
refuse "another base" "lr0" -- "$programs/coordinator" --run plain $warm_task --hyp other_hyp.yaml
{ cat "$stage/base.pt"; echo; } >other.pt
refuse "other weights" "weights" -- "$programs/coordinator" --run plain $warm_task --weights other.pt
"$programs/shapes" --out other --train 16 --val 8 --size 64 --seed 2 >/dev/null 2>&1
refuse "another data set" "data" -- "$programs/coordinator" --run plain $warm_task --data other/shapes.yaml
refuse "an import into a run that has begun" "--import" "plain" -- "$programs/coordinator" --run plain --import before.txt
check "... and nothing has come of all that" "$programs/tests/cluster/history" plain check 17

# ---- a warm start ----

mkdir warm
cp before.txt warm/evolve.txt
coordinate warm $warm_task --generations 3 --local-workers 1
finish $coordinator
check "an evolve.txt in a new folder is a start" [ $code -eq 0 ]
complete "warm" warm 3
check "... its rows are imported" yields warm "select count(*) from candidates where state = 'imported'" "$(wc -l <before.txt)"
check "... and the first candidate is their child" yields warm \
    "select count(*) from candidates where number = 1 and seen = $(wc -l <before.txt) and (select max(value) from json_each(parents)) < 0" 1
coordinate imported $warm_task --generations 2 --local-workers 1 --import before.txt
finish $coordinator
complete "--import" imported 2
check "... takes in the same rows" yields imported "select count(*) from candidates where state = 'imported'" "$(wc -l <before.txt)"

awk '{ if (NR == 3) $9 = "0.9x"; print }' before.txt >bad.txt
mkdir mended
cp bad.txt mended/evolve.txt
refuse "a bad row is refused with its file, line and column" "mended/evolve.txt:3" "column 9" "0.9x" -- \
    "$programs/coordinator" --run mended $warm_task --generations 1 --local-workers 1
check "... and left as it is" cmp bad.txt mended/evolve.txt
cp before.txt mended/evolve.txt
coordinate mended $warm_task --generations 1 --local-workers 1
finish $coordinator
complete "... once mended it starts" mended 1
refuse "a bad row of --import" "bad.txt:3" "column 9" -- "$programs/coordinator" --run unimported $warm_task --import bad.txt
refuse "no file to import" "nowhere.txt" -- "$programs/coordinator" --run unimported $warm_task --import nowhere.txt
coordinate unimported $warm_task --generations 1 --local-workers 1
finish $coordinator
complete "... the folder starts without it" unimported 1

# ---- two runs on one machine ----

coordinate left $warm_task --generations 3; left=$coordinator
coordinate right $warm_task --generations 3; right=$coordinator
wait_for 30 listening left.log
wait_for 30 listening right.log
: >output
start output "$programs/worker" --cpu 1 --spool idle.spool
finish "$started"
check "a worker that has two runs to choose from ends" [ $code -eq 1 ]
check "... and lists them" eval 'grep -q "$folder/left" output && grep -q "$folder/right" output'
work right right
finish $right
check "--run takes the right one" [ $code -eq 0 ]
complete "the right one" right 3
check "... and the other has none" yields left "select count(*) from attempts" 0
work left "$folder/left"
finish $left
complete "the left one" left 3

# ---- pause and resume ----

coordinate halted $warm_task --generations 6; halted=$coordinator
wait_for 30 listening halted.log
"$programs/coordinator" pause --run halted >output 2>&1
check "a run is paused" [ $? -eq 0 ]
wait_for 10 logged halted.log 'paused: nothing new'
work r halted
wait_for 20 logged r.log 'welcome to run'
sleep 1 # long enough for several requests: nothing can be waited for when nothing is to happen
check "... nothing is handed out" yields halted "select count(*) from attempts" 0
"$programs/coordinator" resume --run halted >output 2>&1
check "a run is resumed" [ $? -eq 0 ]
finish $halted
check "... and ends" [ $code -eq 0 ]
complete "after the pause" halted 6

# ---- the same seeds, the same run ----

for same in once again; do
    coordinate $same $warm_task --generations 5 --local-workers 1
    finish $coordinator
done
check "the same seeds and one worker: the same evolve.txt, byte for byte" cmp once/evolve.txt again/evolve.txt
check "... and hyp_evolved.yaml" cmp once/hyp_evolved.yaml again/hyp_evolved.yaml
coordinate other_seed $warm_task --generations 5 --local-workers 1 --run-seed 9
finish $coordinator
check "... another run seed: another one" [ "$(cat once/evolve.txt)" != "$(cat other_seed/evolve.txt)" ]

theme_end
