#!/bin/sh
# An evolution as one Slurm job: a coordinator on its first node, and workers on all of them.
#
#   deploy/slurm/run.sh --nodes 2 --gpus-per-node 4 --time 24:00:00 -- --data data.yaml --cfg yolov5s.yaml --generations 300
#
# They meet by the access file in the run's folder, which all nodes have to see, as they have to see the programs and the working
# directory. When the job's time is over, or it is preempted, workers hand on what they train and the job requeues itself; the same
# command, after a job has ended however, goes on with the run.
set -eu
deploy=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=submit.sh
. "$deploy/submit.sh"

usage() {
    cat <<TEXT
usage: run.sh [options] [options of sbatch] -- OPTIONS OF coordinator

Submit an evolution as a Slurm job: a coordinator on the first node, workers on all. Logs go to RUN/slurm.

options:
$options_help
TEXT
}

left=$#
while [ "$left" -gt 0 ]; do
    word=$1; shift; left=$((left - 1))
    case $word in
    --help) usage; exit ;;
    --dry-run) dry_run=true ;;
    --) break ;;
    --*=*) take_option "${word%%=*}" "${word#*=}" || set -- "$@" "$word" ;;
    *)
        if take_option "$word" "${1-}"; then
            [ "$left" -gt 0 ] || die "$word: a value was expected"
            shift; left=$((left - 1))
        else set -- "$@" "$word"; fi
        ;;
    esac
done
[ "$left" -gt 0 ] || die "the coordinator's options were expected after --"

# Where the run will be, as the coordinator does it, and where its data set is, unless workers have it elsewhere.
name='' data='' seen=0 before=''
for word; do
    [ "$seen" -lt "$left" ] || break
    seen=$((seen + 1))
    case $before in
    --run) run=$word ;;
    --name) name=$word ;;
    --data) data=$word ;;
    esac
    case $word in
    --run=*) run=${word#*=} ;;
    --name=*) name=${word#*=} ;;
    --data=*) data=${word#*=} ;;
    --insecure | --bind=ipc:* | ipc:*) die "$word: nodes meet over TCP with keys" ;;
    esac
    before=$word
done
: "${run:=runs/evolve${name:+_$name}}"
run=$(absolute "$run")
access=$run/access
logs=$run/slurm
[ -n "$data_root" ] || [ ! -e "$data" ] || data_root=$(dirname "$data")
settle
submit "$left" "$@"
