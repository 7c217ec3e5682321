# Workers join, leave, are preempted, killed and frozen for MINUTES (60) while one stays; memory and file descriptors of the coordinator and
# of the worker that stays are watched. See soak.sh.
. "$(dirname "$0")/lib.sh"

seconds=$((${MINUTES:-60} * 60))
# In kB. A trial is kept in memory for as long as the run goes on; besides that nothing may grow.
kb_a_trial=8 kb_of_slack=6144 descriptors_of_slack=3

memory_of() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null; }
descriptors_of() { ls "/proc/$1/fd" 2>/dev/null | wc -l; }
evaluated() { count=$(done_count soak); echo "${count:-0}"; }
# Second, trials, then memory and descriptors of both.
sample() {
    echo "$(($(date +%s) - began)) $(evaluated) $(memory_of $coordinator) $(descriptors_of $coordinator) $(memory_of $stays) $(descriptors_of $stays)" >>samples
}
# middle COLUMN FROM TO: the median of a column over a part of the samples, in hundredths of them.
middle() {
    awk -v column="$1" -v from="$2" -v to="$3" '{ line[NR] = $column }
        END { for (i = int(NR * from / 100) + 1; i <= NR * to / 100; i++) print line[i] }' samples | sort -n |
        awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}
# grown NAME COLUMN SLACK: not by more than the slack, from the second tenth to the last.
grown() {
    before=$(middle "$2" 10 20) after=$(middle "$2" 90 100)
    echo "$1: $before, then $after" >>growth
    check "$1 ($before, then $after) has not grown by more than $3" test "$((after - before))" -le "$3"
}

coordinate soak $warm_task --epochs 4 --generations 1000000 --max-lost 1000
wait_for 30 listening soak.log
work stays soak; stays=$worker
began=$(date +%s) turn=0
: >samples
while [ $(($(date +%s) - began)) -lt "$seconds" ]; do
    turn=$((turn + 1))
    rm -f guest$((turn % 3)).log # what an earlier one said
    work guest$((turn % 3)) soak; guest=$worker
    wait_for 20 logged guest$((turn % 3)).log 'welcome to run'
    sleep "$((turn % 4))"
    case $((turn % 5)) in
    0) kill -9 "$guest" ;;
    1) kill -TERM "$guest" ;;
    2) kill -USR1 "$guest" ;;
    3) kill -STOP "$guest"; sleep 2; kill -CONT "$guest"; kill -TERM "$guest" ;;
    4) kill -INT "$guest" ;;
    esac
    finish "$guest" 60
    [ $code -ne 124 ] || echo "turn $turn: a worker did not leave" >>stuck
    sample
done
check "every worker left when it was told to" test ! -e stuck
check "the coordinator is still there" test -d /proc/$coordinator
check "so is the worker that stays" test -d /proc/$stays
trials=$(($(middle 2 90 100) - $(middle 2 10 20)))
grown "the coordinator's memory in kB" 3 $((kb_of_slack + trials * kb_a_trial))
grown "its descriptors" 4 $descriptors_of_slack
grown "the worker's memory in kB" 5 $kb_of_slack
grown "its descriptors" 6 $descriptors_of_slack
kill -INT $coordinator
finish $coordinator
check "the coordinator is interrupted" [ $code -eq 130 ]
goal=$(($(evaluated) + 4))
coordinate soak $warm_task --epochs 4 --generations $goal --max-lost 1000
finish $coordinator 300 # thousands of trials are drawn
check "the run ends when it is told to" [ $code -eq 0 ]
finish $stays 60
check "so does the worker" [ $code -eq 0 ]
complete "after all that" soak $goal
cat growth
echo "$turn workers came and went in $seconds s; $(evaluated) trials, $(select_from soak "select count(*) || ' attempts' from attempts")"
[ -z "$SAMPLES" ] || cp samples "$SAMPLES"
theme_end
