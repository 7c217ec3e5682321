# A run's best trained again with other seeds: `coordinator confirm`. See run.sh.
. "$(dirname "$0")/lib.sh"

# confirm RUN OPTION...: in the background, its log in RUN.confirm.log, what it prints at its end too; its pid is in $coordinator.
confirm() {
    confirm_run=$1; shift
    start "$confirm_run.confirm.log" "$programs/coordinator" confirm --run "$confirm_run" --heartbeat 0.5 --lease $lease "$@"
    coordinator=$started
}
confirmed() { select_from run/confirm "select count(*) from candidates where state = 'done'" 2>/dev/null; }
has_confirmed() { [ "$(confirmed)" -ge "$1" ] 2>/dev/null; }

coordinate run $warm_task --generations 6 --local-workers 2
finish $coordinator
complete "the run" run 6
cp run/evolve.txt before.txt

confirm run --top 2 --seeds 2 --local-workers 2
finish $coordinator
check "the best are confirmed" [ $code -eq 0 ]
check "... the start and two rows with two seeds each" yields run/confirm "select count(*) from candidates where state = 'done'" 6
check "... the same seeds for all" yields run/confirm \
    "select group_concat(value, ' ') from (select value from settings where name like 'seed of %' order by cast(substr(name, 9) as integer))" "2 2 2 3 3 3"
check "... with the hyperparameters of their rows" yields run/confirm \
    "select count(distinct hyps) from candidates where parent = (select max(parent) from candidates)" 1
check "... another seed gives another result" yields run/confirm "select count(distinct results) from candidates where parent = 0" 2
says "... a table says what has come of it" run.confirm.log "the start" "(2 seeds;" "in the run)"
says "... and which is best" run.confirm.log "the best by its mean is"
check "... whose hyperparameters can be trained with" "$programs/train" --data "$stage/data/shapes.yaml" --weights "$stage/base.pt" --img-size 64 \
    --batch-size 8 --epochs 1 --threads 1 --noautoanchor --nosave --hyp run/hyp_confirmed.yaml --logdir trained
check "... evolve.txt is as it was" cmp before.txt run/evolve.txt
"$programs/coordinator" best --run run >output 2>&1
says "... coordinator best shows it" output "the start" "(2 seeds;"
check "... nothing of it is in the run's own store" "$programs/tests/cluster/history" run check 6

select_from run/confirm "select parent, results from candidates order by number" >first.txt
confirm run --top 2 --seeds 2
finish $coordinator
check "once more: nothing is left to do" [ $code -eq 0 ]
select_from run/confirm "select parent, results from candidates order by number" >second.txt
check "... and nothing was done" cmp first.txt second.txt

# Killed in the midst of it, by workers that come by themselves.
confirm run --top 2 --seeds 4; first=$coordinator
wait_for 30 listening run.confirm.log
work w run; w=$worker
wait_for 60 has_confirmed 8
kill9 $first
confirm run --top 2 --seeds 4
finish $coordinator
check "killed and started again, it goes on" [ $code -eq 0 ]
check "... to exactly what was asked for" yields run/confirm "select count(*) from candidates where state = 'done'" 12
finish $w
check "... its worker leaves" [ $code -eq 0 ]
cp -r run copy
rm -r copy/confirm copy/lock
confirm copy --top 2 --seeds 2 --local-workers 1
finish $coordinator
select_from copy/confirm "select parent, results from candidates order by number" >again.txt
check "the same rows and seeds have the same results" cmp first.txt again.txt

coordinate run --generations 8 --local-workers 1
finish $coordinator
complete "the run goes on as if it had not been confirmed" run 8

coordinate run --generations 9; at_work=$coordinator
wait_for 30 listening run.log
sleep 0.2
refuse "a run that a coordinator is at work in" "another coordinator runs on" "process $at_work" -- \
    "$programs/coordinator" confirm --run run
kill9 $at_work
refuse "a folder without a run" "nowhere" -- "$programs/coordinator" confirm --run nowhere
check "... where nothing is made" [ ! -e nowhere ]
refuse "evolving what was confirmed" "run/confirm" "coordinator confirm" -- "$programs/coordinator" --run run/confirm
expected=2
refuse "an option of the run itself" "--strategy" -- "$programs/coordinator" confirm --run run --strategy random
expected=1

theme_end
