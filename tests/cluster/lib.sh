# lib.sh - what the cases of the cluster share: a stage with a tiny task, processes, waiting, checks. Sourced by each theme:
#
#   . "$(dirname "$0")/lib.sh"        with $1 the folder of the programs, $2 a folder of the theme's own, $3 the stage
#
# Real processes on real sockets, in folders that no other run uses. Nothing sleeps for long: everything waits for a condition, with a
# deadline that only a failure ever reaches, longer for programs that are slowed down by sanitizers.
programs=$1 folder=$2 stage=$3
here=$(cd "$(dirname "$0")" && pwd)
cd "$folder" || exit 2
unset MENDEL_LOG OMP_NUM_THREADS
export HOME="$folder/home" XDG_RUNTIME_DIR="$folder/rt" XDG_STATE_HOME="$folder/state" XDG_CACHE_HOME="$folder/cache"
mkdir -p "$HOME" "$XDG_STATE_HOME" "$XDG_CACHE_HOME"
mkdir -p -m 700 "$XDG_RUNTIME_DIR"
# What a sanitizer has to say of any of the processes; the libraries are not built with it.
export ASAN_OPTIONS="log_path=$folder/sanitizer log_exe_name=1" UBSAN_OPTIONS="log_path=$folder/sanitizer"
export LSAN_OPTIONS="print_suppressions=0"
export TSAN_OPTIONS="log_path=$folder/sanitizer ignore_noninstrumented_modules=1"
passed=0 failed=0
: >output
# Deadlines are multiplied; leases and the like, which some cases have to wait out, are longer than the slowest turn of a program.
if grep -q __tsan_init "$programs/worker"; then slower=10 lease=12 short_lease=8 stall=15
elif grep -q __asan_init "$programs/worker"; then slower=4 lease=6 short_lease=3 stall=5
else slower=1 lease=4 short_lease=2 stall=3; fi

# ---- checks: one line each ----

pass() { passed=$((passed + 1)); echo "ok       $1"; }
fail() {
    failed=$((failed + 1))
    echo "FAILED   $1: $2"
    [ ! -s output ] || tail -n 25 output | sed 's/^/    | /'
}

# check NAME COMMAND...: passes when the command does. What it prints, or the file `output`, is shown when it does not.
check() {
    check_name=$1; shift
    if "$@" >check.out 2>&1; then pass "$check_name"; else cat check.out >>output; fail "$check_name" "$*"; fi
}

# says NAME FILE WORDS...: the words stand in the file, in one line and in this order.
says() {
    says_name=$1 says_file=$2; shift 2
    pattern=
    for word; do pattern="$pattern${pattern:+.*}$(printf '%s' "$word" | sed 's/[][\.*^$]/\\&/g')"; done
    if grep -q -e "$pattern" "$says_file"; then pass "$says_name"
    else cp "$says_file" output; fail "$says_name" "'$*' was expected"; fi
}

skip() { echo "skipped: needs $1"; }

# The theme is through: its counts, for run.sh to add up.
theme_end() {
    # The leak checker itself stumbles over threads that are just ending, now and then.
    for report in sanitizer.*; do grep -qs -e 'LeakSanitizer has encountered a fatal error' -e 'Tracer caught signal' "$report" && rm "$report"; done
    tail -n 30 sanitizer.* >output 2>/dev/null
    if [ "$slower" -gt 1 ]; then check "no sanitizer has anything to say" [ ! -s output ]; fi
    echo "$passed passed, $failed failed"
}

# ---- waiting ----

# wait_for SECONDS COMMAND...: until the command succeeds; fails after so many seconds (times what the build is slower).
wait_for() {
    wait_end=$(($(date +%s) + $1 * slower + 1)); shift
    until "$@"; do
        [ "$(date +%s)" -le "$wait_end" ] || { echo "waited in vain for: $*" >>output; return 1; }
        sleep 0.03
    done
}

# A process that has ended may still be a zombie of somebody else.
gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.[ZX]' "/proc/$1/status" 2>/dev/null; }
all_gone() { for gone_pid; do gone "$gone_pid" || return 1; done; }
stopped() { grep -q '^State:.T' "/proc/$1/status" 2>/dev/null; }

# ---- processes ----

# Everything that is started carries a mark in its environment, by which what is left of it is found.
mark="MENDEL_CLUSTER_TEST=$folder"

# start LOG COMMAND...: in the background, in a session of its own; its pid is in $started.
start() {
    start_log=$1; shift
    env "$mark" setsid "$@" >>"$start_log" 2>&1 </dev/null &
    started=$!
}

# finish PID [SECONDS]: wait for its end; the exit status is in $code, 124 after it had to be killed.
finish() {
    if wait_for "${2:-60}" gone "$1"; then wait "$1"; code=$?
    else kill -9 "$1" 2>/dev/null; wait "$1"; code=124; fi 2>/dev/null
}

kill9() { kill -9 "$@" 2>/dev/null; for killed; do wait "$killed"; done 2>/dev/null; }

# Pids of this theme's processes that live, zombies left out.
ours() {
    for environment in /proc/[0-9]*/environ; do
        pid=${environment#/proc/} pid=${pid%/environ}
        if is_ours "$pid"; then echo "$pid"; fi
    done
}
is_ours() { grep -qzxF "$mark" "/proc/$1/environ" 2>/dev/null && ! gone "$1"; }
none_left() { [ -z "$(ours)" ]; }

clean_up() {
    trap '' INT TERM HUP # a second one must not cut this short
    for attempt in 1 2 3; do
        left=$(ours)
        [ -z "$left" ] || kill -9 $left 2>/dev/null
    done
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# ---- the programs ----

# The task of most runs: candidates of some 100 ms. Options given later win.
task="--data $stage/data/shapes.yaml --cfg $stage/tiny.yaml --weights= --img-size 64 --batch-size 8 --epochs 1 --threads 1
    --precision fp32 --noautoanchor --heartbeat 0.5 --lease $lease"
# The same from trained weights, so that results are not 0.
warm_task="--data $stage/data/shapes.yaml --weights $stage/base.pt --img-size 64 --batch-size 8 --epochs 1 --threads 1
    --precision fp32 --noautoanchor --heartbeat 0.5 --lease $lease"
# Long enough to be met in mid-training.
long_training="--epochs $((slower > 1 ? 30 : 120))"

# coordinate RUN OPTION...: a coordinator in the background, its log in RUN.log; its pid is in $coordinator.
coordinate() {
    coordinate_run=$1; shift
    start "$coordinate_run.log" "$programs/coordinator" --run "$coordinate_run" "$@"
    coordinator=$started
}

# work NAME RUN OPTION...: a worker of one core, log in NAME.log, spool in NAME.spool; its pid is in $worker.
work() {
    work_name=$1 work_run=$2; shift 2
    start "$work_name.log" "$programs/worker" --cpu 1 --run "$work_run" --spool "$work_name.spool" "$@"
    worker=$started
}

# refuse NAME WORDS... -- COMMAND...: ends with $expected (1) and one sentence that has the words in it, in this order. Where the
# command would have started the run `refused`, nothing of it is left that the next start could stumble over.
expected=1
refuse() {
    rm -rf refused
    refuse_name=$1 words=; shift
    while [ "$1" != -- ]; do words="$words${words:+.*}$(printf '%s' "$1" | sed 's/[][\.*^$]/\\&/g')"; shift; done
    shift
    : >output
    start output "$@"
    finish "$started"
    if [ "$code" -ne "$expected" ]; then fail "$refuse_name" "exit status $code, not $expected"
    elif [ "$(grep -c 'error: ' output)" -ne 1 ]; then fail "$refuse_name" "one error line was expected"
    elif ! grep 'error: ' output | grep -q -e "$words"; then fail "$refuse_name" "'$words' was expected"
    elif [ -n "$(find refused -type f ! -name lock 2>/dev/null)" ]; then fail "$refuse_name" "left $(find refused -type f | tr '\n' ' ')"
    else pass "$refuse_name"; fi
}

# A port that nobody listens on.
free_port() {
    port=$((20000 + ($$ * 7 + ${port:-0}) % 20000))
    while grep -qi ":$(printf %04X $port) " /proc/net/tcp /proc/net/tcp6; do port=$((port + 1)); done
}

# ---- what a run has come to ----

select_from() { "$programs/tests/cluster/history" "$1" select "$2"; }
done_count() { [ -e "$1/store.sqlite" ] && select_from "$1" "select count(*) from candidates where state = 'done'" 2>/dev/null; }
has_done() { [ "$(done_count "$1")" -ge "$2" ] 2>/dev/null; }
leased_count() { select_from "$1" "select count(*) from attempts where state = 'leased'" 2>/dev/null; }
# yields RUN SQL VALUE: what the query says.
yields() { [ "$(select_from "$1" "$2" 2>&1)" = "$3" ] || { echo "$2: $(select_from "$1" "$2" 2>&1)"; return 1; }; }
logged() { grep -qs "$2" "$1"; }
listening() { logged "$1" 'workers connect to'; }

# complete NAME RUN N: the run has ended with exactly N, and its history, evolve.txt and children hold together.
complete() {
    check "$1: exactly $3 are done, and the history holds together" "$programs/tests/cluster/history" "$2" check "$3"
    check "$1: every child can be bred again" verifies "$2"
}
verifies() { "$programs/coordinator" verify --run "$1"; }

# trains PID NAME: the worker of this name is in the midst of a training, at least an epoch old and no older than $window, by the process
# $trainer. One that has said its last word lives on for a moment, longest under a sanitizer: it is not meant.
window=$((slower > 1 ? 20 : 80))
trains() {
    trainer=$(pgrep -P "$1" -f candidate-fd | head -n 1)
    epochs_done=$(wc -l 2>/dev/null <"$2.spool/trials/slot-0/results.txt") || epochs_done=0
    [ -n "$trainer" ] && [ "$epochs_done" -ge 1 ] && [ "$epochs_done" -le $window ] && ! gone "$trainer"
}
# hold PID NAME: the same, and the trainer is stopped there (SIGSTOP), so that nothing that follows has to be quick.
hold() {
    while wait_for 60 trains "$1" "$2"; do
        held_trainer=$trainer
        kill -STOP "$trainer" 2>/dev/null && wait_for 10 stopped "$trainer" && trains "$1" "$2" && [ "$trainer" = "$held_trainer" ] && return 0
        kill -CONT "$held_trainer" 2>/dev/null
    done
    return 1
}
