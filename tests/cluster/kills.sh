# Killed and frozen: workers, trainers and the coordinator, in mid-training. See run.sh.
. "$(dirname "$0")/lib.sh"

# What the coordinator's log says of results is in the store in the end, to the digits that were printed.
logged_results_stay() {
    sed -n 's/.*candidate \([0-9]*\): fitness .*mAP@.5 \([^,]*\), mAP@.5:.95 \([^)]*\)).*/\1 \2 \3/p' "$1" >logged.txt
    [ -s logged.txt ] || { echo "no results in $1"; return 1; }
    while read -r number ap50 ap; do
        kept=$(select_from "$2" "select results ->> 2, results ->> 3 from candidates where number = $number and state = 'done'")
        [ "$(printf '%.3g %.3g' $kept)" = "$(printf '%.3g %.3g' "$ap50" "$ap")" ] ||
            { echo "candidate $number: mAPs of $ap50 and $ap were logged, the store has '$kept'"; return 1; }
    done <logged.txt
}

# ---- a worker, then the coordinator ----

coordinate chaos $warm_task $long_training --generations 10
wait_for 30 listening chaos.log
work a chaos; a=$worker
work b chaos; b=$worker
wait_for 60 has_done chaos 1
wait_for 60 trains $a a
kill9 $a
check "a killed worker's trainer ends with it" wait_for 2 gone "$trainer"
work c chaos; c=$worker
wait_for 60 has_done chaos 4
kill9 $coordinator
cp chaos.log killed.log
check "... its workers train on without a coordinator" eval 'sleep 1; ! gone $b && ! gone $c'
coordinate chaos $warm_task $long_training --generations 10
finish $coordinator
check "a killed coordinator goes on with the same command" [ $code -eq 0 ]
finish $b
check "... the worker that was there all the time ends with 0" [ $code -eq 0 ]
finish $c
check "... the one that joined too" [ $code -eq 0 ]
complete "after both" chaos 10
check "... it was the run's second epoch" yields chaos "select value from settings where name = 'epoch'" 2
check "... what the killed worker trained was lost and leased again" yields chaos \
    "select count(*) > 0 from attempts a join attempts b on b.candidate = a.candidate and b.attempt = a.attempt + 1 where a.state = 'lost'" 1
check "... no result is lost" logged_results_stay killed.log chaos
check "... three workers have trained" yields chaos "select count(distinct worker) from attempts" 3
check "... no process is left" none_left

# ---- a trainer ----

coordinate crash $task $long_training --generations 3
work d crash; d=$worker
wait_for 60 trains $d d
wait_for 60 has_done crash 1
wait_for 60 trains $d d
kill -9 "$trainer"
finish $coordinator
check "a killed trainer does not stop the run" [ $code -eq 0 ]
complete "after the crash" crash 3
check "... the crash is recorded with the trainer's last lines" yields crash \
    "select count(*) from attempts where state = 'failed' and reason = 'crash' and detail like '%signal%' and length(log) > 20" 1
check "... and its candidate was tried again" yields crash \
    "select count(*) from candidates where state = 'done' and crashes = 1 and attempts = 2" 1

# ---- frozen ----

coordinate frozen $task $long_training --generations 6 --lease $short_lease
work e frozen; e=$worker
work f frozen; f=$worker
wait_for 60 has_done frozen 1
wait_for 60 trains $e e
kill -STOP $e
lost_one() { [ "$(select_from frozen "select count(*) from attempts where reason = 'lost'")" -gt 0 ]; }
check "a frozen worker loses its lease" wait_for 30 lost_one
kill -CONT $e
finish $coordinator
check "... and the run completes" [ $code -eq 0 ]
finish $e
check "... the worker, thawed, ends with 0" [ $code -eq 0 ]
finish $f
complete "after the frost" frozen 6

coordinate stalled $task $long_training --generations 3 --stall-timeout $stall
work g stalled; g=$worker
wait_for 60 has_done stalled 1
wait_for 60 trains $g g
kill -STOP "$trainer"
check "a frozen trainer is killed" wait_for 30 gone "$trainer"
finish $coordinator
check "... and the run completes" [ $code -eq 0 ]
complete "after the stall" stalled 3
check "... the stall is recorded, and its candidate was tried again" yields stalled \
    "select count(*) from attempts a join candidates c on c.number = a.candidate where a.reason = 'stall' and c.state = 'done' and c.attempts = 2" 1
finish $g
check "no process is left" none_left

# ---- a worker that cannot hear that the run is over ----

coordinate late $task $long_training --generations 6 --lease $short_lease
work h late; h=$worker
work i late; i=$worker
wait_for 60 has_done late 1
wait_for 60 trains $h h
kill -STOP $h
finish $coordinator
check "a run ends without the worker that is frozen" [ $code -eq 0 ]
finish $i
kill -CONT $h
coordinate late $task $long_training --generations 6 --lease $short_lease
finish $h 30
check "... which hears that it is over when the command is given again" [ $code -eq 0 ]
finish $coordinator
check "... and then the coordinator ends at once" [ $code -eq 0 ]
complete "after the late one" late 6

theme_end
