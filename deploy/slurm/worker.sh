#!/bin/sh
# One task of a job: finds out which device is its own, waits for the access file, and becomes the worker.
#
#   worker.sh [--dry-run] --access FILE --gpus N --cpus N -- COMMAND...
#
# N GPUs (0: cores). Slurm tells by CUDA_VISIBLE_DEVICES which GPUs a task may use. Where that is as many as the task is to have, they are
# its own; where it is all of the node's, the tasks of the node share them by their number, SLURM_LOCALID. So no two train on one GPU
# whether or not the cluster binds them.
set -eu
dry_run=false gpus=0 cpus=1 access=
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=true ;;
    --access) access=$2; shift ;;
    --gpus) gpus=$2; shift ;;
    --cpus) cpus=$2; shift ;;
    --) shift; break ;;
    *) echo "worker.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done

say() { echo "worker.sh: $*" >&2; }

# The numbers for --gpu: they count what CUDA_VISIBLE_DEVICES lists, whatever that calls them.
own_gpus() {
    local_id=${SLURM_LOCALID:-0} visible=0
    case ${CUDA_VISIBLE_DEVICES:-} in '' | NoDevFiles) ;; *) visible=$(echo "$CUDA_VISIBLE_DEVICES" | tr ',' '\n' | grep -c .) ;; esac
    if [ "$visible" -eq "$gpus" ]; then first=0
    else first=$((local_id * gpus)); fi
    if [ $((first + gpus)) -gt "$visible" ]; then
        say "task $local_id of ${SLURMD_NODENAME:-this node} wants $gpus GPU, and of ${CUDA_VISIBLE_DEVICES:-none} none is left for it"
        exit 1
    fi
    list=$first
    while [ $((first + 1)) -lt $((${list%%,*} + gpus)) ]; do first=$((first + 1)); list=$list,$first; done
}

wait_for_access() {
    waited=0
    until [ -r "$access" ]; do
        [ "$waited" -gt 0 ] || say "waiting for $access"
        [ "$waited" -lt 3600 ] || { say "no $access after $waited s"; exit 1; }
        sleep 1
        waited=$((waited + 1))
    done
}

# Results that are not delivered yet outlive the job on shared storage. Locks need not reach further than a node: each has its own.
XDG_STATE_HOME=$(dirname "$access")/spool/${SLURMD_NODENAME:-$(hostname)}
export XDG_STATE_HOME
if [ "$gpus" -gt 0 ]; then
    own_gpus
    set -- "$@" --gpu "$list"
else set -- "$@" --cpu "$cpus"; fi
set -- "$@" --access "$access"
if $dry_run; then
    echo "$*"
    exit
fi
mkdir -p "$XDG_STATE_HOME"
wait_for_access
exec "$@"
