# 300 candidates, while workers and coordinators are killed and frozen, leave and join. See long.sh.
. "$(dirname "$0")/lib.sh"

# What was done by then is done in the end by the same attempt, with the same results.
done_rows() { select_from long "select c.number, c.arrival, a.attempt, a.epoch, c.results from candidates c join attempts a
    on a.candidate = c.number where c.state = 'done' and a.state = 'done' order by 1"; }
still_there() { done_rows >after.txt && awk 'NR == FNR { has[$0] = 1; next } !($0 in has) { print "lost or changed: " $0; lost = 1 } END { exit lost }' after.txt "$1"; }

start_coordinator() { coordinate long $warm_task --epochs 4 --generations 300; }

start_coordinator
wait_for 30 listening long.log
work a long; a=$worker
work b long; b=$worker
wait_for 120 has_done long 40
wait_for 60 trains $a a
kill9 $a
check "a worker is killed in mid-training: its trainer ends" wait_for 2 gone "$trainer"
work c long; c=$worker

wait_for 120 has_done long 100
done_rows >first.txt
kill9 $coordinator
start_coordinator
wait_for 120 has_done long 140
check "the coordinator is killed: what was done stays" still_there first.txt

wait_for 60 trains $c c
kill9 $c
work c long; c=$worker # the same spool: the same worker
wait_for 120 has_done long 180
kill -STOP $b
sleep $((lease + 1))
kill -CONT $b

wait_for 120 has_done long 220
done_rows >second.txt
kill9 $coordinator $c
start_coordinator
work d long; d=$worker
wait_for 120 has_done long 260
check "coordinator and worker are killed at once: what was done stays" still_there second.txt
kill -TERM $b
finish $b
check "a worker that is told to go hands its candidate on and ends with 0" [ $code -eq 0 ]
kill -INT $coordinator
finish $coordinator
check "the coordinator is interrupted" [ $code -eq 130 ]
start_coordinator
finish $coordinator 240
check "the run ends with 0" [ $code -eq 0 ]
finish $d
check "... its last worker too" [ $code -eq 0 ]
complete "after all that" long 300
check "... in four epochs" yields long "select value from settings where name = 'epoch'" 4
check "... every row of evolve.txt is a result, and every result a row" [ "$(wc -l <long/evolve.txt)" -eq "$(sort -u long/evolve.txt | wc -l)" ]
check "... nothing is left in the spools of those that ended" [ -z "$(find b.spool d.spool -name 'delivery-*')" ]
check "... no process is left" none_left
note=$(select_from long "select count(*) || ' attempts for 300 candidates, ' || sum(state = 'lost') || ' of them lost, ' ||
    sum(state = 'late') || ' late, ' || sum(state = 'yielded') || ' handed on' from attempts")
echo "$note"

theme_end
