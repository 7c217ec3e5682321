#!/bin/sh
# What a container of Mendel does:   entry.sh coordinator|worker|train OPTIONS
#
# coordinator  copies its run's access file to $MENDEL_ACCESS when that is set, for workers that see nothing else of the run
# worker       waits for the access file $MENDEL_ACCESS when that is set, then joins; with MENDEL_DEVICE=gpu on the first GPU that no
#              other worker of this machine has: they tell by locks in /devices, which they share
# The program takes this script's place, so that it gets the signals.
set -eu

say() { echo "entry: $*" >&2; }

# An access file is renewed at each start of a coordinator, after it listens. Then it is handed on, whole or not at all.
hand_access_on() {
    run=$1 to=$2
    until [ -n "$(find "$run/access" -newer /tmp/started 2>/dev/null)" ]; do sleep 0.2; done
    cp -p "$run/access" "$to.part" && mv "$to.part" "$to"
}

# The value of --run among the options.
run_of() {
    run=runs/evolve
    while [ $# -gt 0 ]; do
        case $1 in
        --run) run=${2:-$run} ;;
        --run=*) run=${1#--run=} ;;
        --) break ;;
        esac
        shift
    done
    echo "$run"
}

wait_for_access() {
    waited=0
    until [ -r "$1" ]; do
        [ "$waited" -gt 0 ] || say "waiting for $1"
        [ "$waited" -lt "${MENDEL_WAIT:-600}" ] || { say "no $1 after $waited s"; exit 1; }
        sleep 1
        waited=$((waited + 1))
    done
}

# Locks go by the device nodes, which are the same in every container; numbers for --gpu count what this one sees. The lock is held by
# descriptor 9, which the worker inherits, for as long as it lives.
take_gpu() {
    gpu=0
    for node in $(find /dev -maxdepth 1 -name 'nvidia[0-9]*' | sort -V); do
        exec 9>>"${MENDEL_DEVICES:-/devices}/$(basename "$node")"
        if flock -n 9; then return; fi
        gpu=$((gpu + 1))
    done
    say "none of this machine's $gpu GPUs is free"
    exit 1
}

role=${1:-}
[ $# -eq 0 ] || shift
case $role in
coordinator)
    if [ -n "${MENDEL_ACCESS:-}" ]; then
        : >/tmp/started
        hand_access_on "$(run_of "$@")" "$MENDEL_ACCESS" &
    fi
    exec mendel-coordinator "$@"
    ;;
worker)
    if [ -n "${MENDEL_ACCESS:-}" ]; then
        wait_for_access "$MENDEL_ACCESS"
        set -- --access "$MENDEL_ACCESS" "$@"
    fi
    if [ "${MENDEL_DEVICE:-}" = gpu ]; then
        take_gpu
        set -- --gpu "$gpu" "$@"
    fi
    exec mendel-worker "$@"
    ;;
train) exec mendel-train "$@" ;;
'')
    say "coordinator, worker or train was expected"
    exit 2
    ;;
*) exec "$role" "$@" ;;
esac
