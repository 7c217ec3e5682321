# Interrupted runs, and results that were on their way when somebody died. See run.sh.
. "$(dirname "$0")/lib.sh"

# ---- Ctrl-C at several moments ----

coordinate early $task --generations 2
wait_for 30 listening early.log
kill -INT $coordinator
finish $coordinator
check "interrupted before there is a worker: 130" [ $code -eq 130 ]
coordinate early $task --generations 2 --local-workers 1
finish $coordinator
complete "... the same command goes on" early 2

in_a_trainer() { trainer=$(pgrep -f "train --candidate-fd" | while read -r pid; do is_ours "$pid" && echo "$pid"; done | head -n 1); [ -n "$trainer" ]; }
coordinate broken_off $task $long_training --generations 7 --local-workers 2
for moment in 1 2 3; do
    case $moment in
    1) when="in mid-training"; wait_for 60 in_a_trainer;;
    2) when="right after a result"; seen=$(done_count broken_off); wait_for 60 has_done broken_off $((seen + 1));;
    3) when="while it starts"; wait_for 30 listening broken_off.log;;
    esac
    kill -INT $coordinator
    finish $coordinator 15
    check "interrupted $when: 130" [ $code -eq 130 ]
    check "... its workers and trainers are gone" none_left
    check "... and nothing is half-written" [ -z "$(find broken_off -name '*.part*')" ]
    [ $moment -lt 2 ] || : >broken_off.log
    coordinate broken_off $task $long_training --generations 7 --local-workers 2
done
wait_for 30 listening broken_off.log
kill -TERM $coordinator
finish $coordinator 45
check "told to go: 143" [ $code -eq 143 ]
check "... its workers and trainers are gone" none_left
coordinate broken_off $task $long_training --generations 7 --local-workers 2
finish $coordinator
check "... and after all that it completes" [ $code -eq 0 ]
complete "interrupted four times" broken_off 7
check "... in five epochs" yields broken_off "select value from settings where name = 'epoch'" 5

# Killed, it cannot tell its workers: they go by themselves.
coordinate killed $task $long_training --generations 4 --local-workers 2
wait_for 60 in_a_trainer
kill9 $coordinator
check "the local workers of a killed coordinator end" wait_for 30 none_left
coordinate killed $task $long_training --generations 4 --local-workers 2
finish $coordinator
complete "the same command goes on" killed 4

# ---- between spool and acknowledgement ----

# A frozen coordinator acknowledges nothing, so the result stays in the worker's spool when that is killed.
coordinate deliver $warm_task $long_training --generations 3 --lease $lease
wait_for 30 listening deliver.log
work h deliver; h=$worker
wait_for 60 trains $h h
held=$(select_from deliver "select candidate from attempts where state = 'leased'")
kill -STOP $coordinator
spooled() { [ -n "$(find h.spool -name 'delivery-*')" ]; }
check "a result goes into the spool" wait_for 60 spooled
kill9 $h
kill9 $coordinator
coordinate deliver $warm_task $long_training --generations 3 --lease $lease
work h deliver; h=$worker
finish $coordinator
check "both killed before the acknowledgement: the run completes" [ $code -eq 0 ]
finish $h
complete "delivered after all" deliver 3
trained() { grep -c "candidate $1 done" h.log; }
check "... what lay in the spool was not trained again" [ "$(trained "$held")" -eq 1 ]
check "... nor leased" yields deliver "select attempts from candidates where number = $held" 1
check "... it counts as the attempt that it was" yields deliver "select epoch from attempts where candidate = $held and state = 'done'" 1
check "... and the spool is empty" [ -z "$(find h.spool -name 'delivery-*')" ]

# The same with a coordinator that lives on, and may have seen the result before its worker died.
coordinate again $warm_task $long_training --generations 3 --lease $lease
wait_for 30 listening again.log
work i again; i=$worker
wait_for 60 trains $i i
held=$(select_from again "select candidate from attempts where state = 'leased'")
kill -STOP $coordinator
delivered() { [ -n "$(find i.spool -name 'delivery-*')" ]; }
wait_for 60 delivered
sleep 0.3 # so that it is in the coordinator's socket
kill9 $i
kill -CONT $coordinator
work i again; i=$worker
finish $coordinator
check "a worker dies before its acknowledgement: the run completes" [ $code -eq 0 ]
finish $i
complete "delivered once or twice" again 3
check "... it was trained once" [ "$(grep -c "candidate $held done" i.log)" -eq 1 ]
check "... and counts once" yields again "select attempts from candidates where number = $held" 1

theme_end
