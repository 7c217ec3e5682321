#!/bin/sh
# What runs inside a job that run.sh or workers.sh has submitted: a coordinator (with --run) and a step of workers.
#
#   job.sh --deploy DIR --logs DIR --access FILE [--run DIR] --workers N --cpus N --gpus N --restarts N
#          --programs PREFIX | --container pyxis|apptainer --image IMAGE [--mounts A:B,...]   [--data-root DIR] -- OPTIONS
#
# How it ends:
#   the run is over            the coordinator leaves with 0, the workers after it
#   it cannot go on            the coordinator says why and leaves with 1, 2 or 3: so does the job
#   scancel                    TERM comes here too: everything leaves, nothing is requeued
#   the time is nearly over    USR1 comes here, ahead of time: the workers hand on what they train, the job requeues itself
#   preemption                 Slurm tells the steps alone, and would take the job for finished when they have left. So this looks
#                              why they did, and requeues the job
#   workers leave otherwise    they are started again, a few times
set -u
deploy='' logs='' access='' run='' workers=1 cpus=1 gpus=0 restarts=100 programs='' container='' image='' mounts='' data_root=''
while [ $# -gt 0 ]; do
    case $1 in
    --deploy) deploy=$2 ;;
    --logs) logs=$2 ;;
    --access) access=$2 ;;
    --run) run=$2 ;;
    --workers) workers=$2 ;;
    --cpus) cpus=$2 ;;
    --gpus) gpus=$2 ;;
    --restarts) restarts=$2 ;;
    --programs) programs=$2 ;;
    --container) container=$2 ;;
    --image) image=$2 ;;
    --mounts) mounts=$2 ;;
    --data-root) data_root=$2 ;;
    --) shift; break ;;
    *) echo "job.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done

say() { echo "$(date '+%F %T') job.sh: $*" >&2; }

warned=false cancelled=false
trap 'warned=true' USR1
trap 'cancelled=true' TERM INT

# ---- the processes: $coordinator and $step are their pids, empty when there are none ----

coordinator='' step='' step_started=0 falls=0 step_falls=0
runs() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# Folders of the host that a container sees under their own names.
folders=$PWD:$PWD,$(dirname "$access"):$(dirname "$access"),$deploy:$deploy${run:+,$run:$run}${data_root:+,$data_root:$data_root}
folders=$folders${mounts:+,$mounts}

start_coordinator() {
    set -- coordinator --run "$run" --bind 'tcp://0.0.0.0:*' "$@" # a port of the system's choice: jobs may share a node
    case $container in
    pyxis)
        shift
        set -- srun --overlap --nodes 1 --ntasks 1 --nodelist "$SLURMD_NODENAME" --gres none --container-image "$image" \
            --container-mounts "$folders" --container-workdir "$PWD" --no-container-entrypoint mendel-coordinator "$@"
        ;;
    apptainer)
        shift
        set -- apptainer exec --bind "$folders" --pwd "$PWD" "$image" mendel-coordinator "$@"
        ;;
    *)
        shift
        set -- "${programs}coordinator" "$@"
        ;;
    esac
    "$@" </dev/null &
    coordinator=$!
}

# The coordinator notes its addresses at each start, once it listens: a file that is older is of an earlier start, on another node.
started=$logs/.started-$SLURM_JOB_ID
listens() { [ -e "$access" ] && [ -n "$(find "$run/keys/addresses" -newer "$started" 2>/dev/null)" ]; }

wait_until_it_listens() {
    waited=0
    until listens || ! runs "$coordinator" || $warned || $cancelled; do
        sleep 1
        waited=$((waited + 1))
        [ $waited -ne 60 ] || [ -e "$access" ] || say "no $access: coordinator keys add NAME --out $access --run $run makes one"
    done
}

start_workers() {
    [ -z "$data_root" ] || set -- --data-root "$data_root" "$@"
    case $container in
    pyxis) set -- mendel-worker "$@" ;;
    apptainer) set -- apptainer exec --nv --bind "$folders" --pwd "$PWD" "$image" mendel-worker "$@" ;;
    *) set -- "${programs}worker" "$@" ;;
    esac
    set -- "$deploy/worker.sh" --access "$access" --gpus "$gpus" --cpus "$cpus" -- "$@"
    [ "$container" != pyxis ] || set -- --container-image "$image" --container-mounts "$folders" --container-workdir "$PWD" \
        --no-container-entrypoint "$@"
    [ "$gpus" -eq 0 ] || set -- --gpus-per-task "$gpus" "$@"
    # One that fails leaves the others alone, however long they go on.
    srun --ntasks-per-node "$workers" --cpus-per-task "$cpus" --kill-on-bad-exit=0 --wait=0 --open-mode append \
        --output "$logs/worker-$SLURM_JOB_ID-%t.out" "$@" </dev/null &
    step=$!
    step_started=$(date +%s)
}

# end PID SIGNAL SECONDS: ask it to leave, and make it leave when that takes too long. srun hands signals to its tasks.
end() {
    runs "$1" || return 0
    kill -s "$2" "$1" 2>/dev/null
    ended=0
    while runs "$1" && [ "$ended" -lt "$3" ]; do
        sleep 1
        ended=$((ended + 1))
    done
    runs "$1" || return 0
    say "process $1 does not leave"
    kill -s KILL "$1" 2>/dev/null
}

# First the workers, which have something to hand on; then who takes it.
end_all() {
    end "$step" USR1 60
    end "$coordinator" TERM 20
    rm -f "$started"
}

# ---- endings ----

requeue() {
    end_all
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "$restarts" ]; then
        say "requeued $restarts times (--restarts): the same command goes on"
        exit 1
    fi
    say "$1: requeued"
    scontrol requeue "$SLURM_JOB_ID" || { say "it cannot be requeued: the same command goes on"; exit 1; }
    sleep 600 & # until Slurm ends this script
    wait
    exit 0
}

leave() { # STATUS
    end_all
    exit "$1"
}

# What Slurm means to do with the job: "running", "preempted", or "ending", by scancel or a limit.
fate() {
    about=$(scontrol --oneliner show job "$SLURM_JOB_ID" 2>/dev/null)
    case $about in
    *JobState=RUNNING*PreemptTime=20*) echo preempted ;; # a date
    *JobState=RUNNING* | '') echo running ;;             # or nobody answers
    *) echo ending ;;
    esac
}

# The step has ended while there is work left.
workers_left() { # STATUS
    step=''
    case $(fate) in
    preempted) requeue "preempted" ;;
    ending) leave 143 ;;
    esac
    [ $(($(date +%s) - step_started)) -lt 120 ] || step_falls=0
    step_falls=$((step_falls + 1))
    if [ $step_falls -gt 3 ]; then
        say "the workers leave as soon as they are started (status $1): see $logs"
        leave 1
    fi
    say "the workers have left (status $1): started again"
}

coordinator_left() { # STATUS
    coordinator=''
    if [ "$1" -eq 0 ]; then
        end_when_told
        rm -f "$started"
        exit 0
    fi
    [ "$1" -gt 128 ] || leave "$1" # it has said why
    case $(fate) in
    preempted) requeue "preempted" ;;
    ending) leave 143 ;;
    esac
    falls=$((falls + 1))
    [ $falls -le 3 ] || leave "$1"
    say "the coordinator was killed (status $1): started again"
}

# The workers hear that the run is over, and leave by themselves.
end_when_told() {
    told=0
    while runs "$step" && [ $told -lt 60 ] && ! $cancelled; do
        sleep 1
        told=$((told + 1))
    done
    end "$step" USR1 30
}

# ---- the job ----

mkdir -p "$logs"
say "start ${SLURM_RESTART_COUNT:-0} of job $SLURM_JOB_ID on $SLURM_JOB_NODELIST"
while :; do
    if [ -n "$run" ] && [ -z "$coordinator" ]; then
        : >"$started"
        start_coordinator "$@"
        wait_until_it_listens
    fi
    if [ -z "$step" ]; then
        if [ -n "$run" ]; then runs "$coordinator" && start_workers
        else start_workers "$@"; fi
    fi
    sleep 1
    ! $warned || requeue "told to go"
    ! $cancelled || leave 143
    if [ -n "$coordinator" ] && ! runs "$coordinator"; then
        wait "$coordinator"
        coordinator_left $?
    elif [ -n "$step" ] && ! runs "$step"; then
        wait "$step"
        code=$?
        # Workers that leave with 0 were told that the run is over, or to go: the coordinator, where there is one, is about to end.
        [ -n "$run" ] || [ $code -ne 0 ] || [ "$(fate)" != running ] || exit 0
        if [ $code -ne 0 ] || [ -z "$run" ]; then workers_left $code
        else
            sleep 2
            runs "$coordinator" && workers_left $code
        fi
    fi
done
