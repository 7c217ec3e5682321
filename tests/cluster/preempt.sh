# Workers that have to leave in mid-training: another one goes on from their checkpoint, over TCP with nothing shared, too. See run.sh.
. "$(dirname "$0")/lib.sh"

# Two machines, as far as files go.
for machine in one two; do
    mkdir -p $machine/pictures $machine/desk
    cp -r "$stage/data/." $machine/pictures
done
free_port
address=tcp://127.0.0.1:$port
# far_work MACHINE NAME OPTION...: a worker over TCP with files of its own.
far_work() {
    far_machine=$1 far_name=$2; shift 2
    start "$far_name.log" env -C "$folder/$far_machine/desk" HOME="$folder/$far_machine" XDG_CACHE_HOME="$folder/$far_machine/cache" \
        "$programs/worker" --cpu 1 --coordinator $address --insecure --data-root "$folder/$far_machine/pictures" \
        --spool "$folder/$far_name.spool" "$@"
    worker=$started
}
# The only candidate must not be missed.
job="$warm_task --epochs $((slower > 1 ? 40 : 150)) --generations 1 --no-dashboard"
window=$((slower > 1 ? 25 : 100))

# ---- what an uninterrupted training comes to ----

coordinate whole $job
work w whole; w=$worker
finish $coordinator
finish $w
complete "uninterrupted" whole 1
rows=$(wc -l <w.spool/trials/slot-0/results.txt)
same_rows() { cmp "w.spool/trials/slot-0/results.txt" "$1.spool/trials/slot-0/results.txt"; }
same_results() { yields "$1" "select results from candidates" "$(select_from whole "select results from candidates")"; }

# told_to_go PID NAME SIGNAL: in mid-training, held there until the worker has heard it: however fast it trains, something is left.
told_to_go() {
    hold "$1" "$2" || return 1
    kill -"$3" "$1"
    wait_for 10 logged "$2.log" 'told to go' || return 1
    kill -CONT "$trainer"
}
handed_on() { yields "$1" "select group_concat(state, ' ') from (select state from attempts order by attempt)" "$2"; }
resumed() { yields "$1" "select group_concat(resumed, ' ') from (select resumed from attempts order by attempt)" "$2"; }
no_files() {
    [ -z "$(find "$1/checkpoints" "$1/parts" -type f 2>/dev/null)" ] && [ -z "$(find . -path '*.spool/checkpoints/*' -o -path '*.spool/fetched/*' -o -name 'delivery-*')" ] ||
        { find "$1/checkpoints" "$1/parts" . -path '*.spool/*' -type f; return 1; }
}

# ---- over TCP, each signal ----

for signal in TERM USR1; do
    coordinate tcp_$signal $job --bind $address --insecure
    wait_for 30 listening tcp_$signal.log
    far_work one a_$signal; a=$worker
    check "SIG$signal in mid-training" told_to_go $a a_$signal $signal
    finish $a 40
    check "... the worker leaves with 0" [ $code -eq 0 ]
    check "... the coordinator has its checkpoint" [ "$(find tcp_$signal/checkpoints -name '1-*.pt' | wc -l)" -eq 1 ]
    far_work two b_$signal; b=$worker
    finish $coordinator
    check "... the run ends with 0" [ $code -eq 0 ]
    finish $b
    complete "handed on over TCP" tcp_$signal 1
    check "... by the first, done by the second" handed_on tcp_$signal "yielded done"
    check "... which went on from the checkpoint, as its record says" resumed tcp_$signal "0 1"
    check "... and ended as if nothing had happened, to the last digit" same_rows b_$signal
    check "... so did the candidate" same_results tcp_$signal
    check "... nothing is left of the checkpoint" no_files tcp_$signal
done
says "the second worker says so" b_TERM.log "candidate 1 started from a checkpoint"

# ---- twice, and from one machine's own socket to another's ----

coordinate twice $job --bind $address --insecure
wait_for 30 listening twice.log
work c twice; c=$worker
check "a worker of the coordinator's machine is told to go" told_to_go $c c TERM
finish $c 40
far_work one d; d=$worker
wait_for 60 logged d.log 'started from a checkpoint'
still_trains() { trainer=$(pgrep -P "$d" -f candidate-fd | head -n 1); [ -n "$trainer" ] && ! gone "$trainer"; }
if wait_for 30 still_trains && kill -STOP "$trainer" 2>/dev/null; then
    kill -TERM $d
    wait_for 10 logged d.log 'told to go'
    kill -CONT "$trainer"
fi
finish $d 40
work e twice; e=$worker
finish $coordinator
check "handed on from here to there and back: the run ends with 0" [ $code -eq 0 ]
finish $e
complete "twice" twice 1
check "... ended as if nothing had happened" same_results twice
check "... no attempt counts as lost" yields twice "select lost + crashes from candidates" 0
check "... nothing is left of the checkpoints" no_files twice

# ---- a checkpoint that cannot come ----

# The worker is killed before anybody has its checkpoint: what it trained is lost, and trained again; back again, it is told to forget it.
coordinate gone $job --bind $address --insecure
wait_for 30 listening gone.log
far_work one f; f=$worker
hold $f f
kill -STOP $coordinator
kill -TERM $f
wait_for 10 logged f.log 'told to go'
kill -CONT "$trainer"
yielded() { [ -n "$(find f.spool -name 'delivery-*')" ]; }
check "a Yield lies in the spool, with its checkpoint" wait_for 30 yielded
kill9 $f
kill -CONT $coordinator
far_work two g; g=$worker
finish $coordinator
check "killed before it had handed it on: the run ends with 0" [ $code -eq 0 ]
finish $g
complete "gone" gone 1
check "... ended as if nothing had happened" same_results gone

# The same, but it is back in time.
rm -r f.spool # that one never came back
coordinate back $job --bind $address --insecure --lease 60
wait_for 30 listening back.log
far_work one h; h=$worker
hold $h h
kill -STOP $coordinator
kill -TERM $h
wait_for 10 logged h.log 'told to go'
kill -CONT "$trainer"
handed() { [ -n "$(find h.spool -name 'delivery-*')" ]; }
wait_for 30 handed
kill9 $h
kill9 $coordinator
coordinate back $job --bind $address --insecure --lease 60
far_work one h; h=$worker
finish $coordinator
check "both killed with a checkpoint in the spool: the run ends with 0" [ $code -eq 0 ]
finish $h
complete "back" back 1
check "... it went on from there" resumed back "0 1"
check "... and ended as if nothing had happened" same_results back
check "... nothing is left of the checkpoint" no_files back

theme_end
