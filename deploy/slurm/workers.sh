#!/bin/sh
# More workers for a run that is there already, as a Slurm job or an array of them.
#
#   deploy/slurm/workers.sh --access runs/evolve/access --gpus-per-node 1 --array 0-5%3 --time 2:00:00
#
# FILE may be a copy of the run's access file; spools and logs go beside it. Preempted, or at the end of their time, workers hand on
# what they train and requeue themselves; when the run is over they end.
set -eu
deploy=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=submit.sh
. "$deploy/submit.sh"

usage() {
    cat <<TEXT
usage: workers.sh --access FILE [options] [options of sbatch] [-- OPTIONS OF worker]

Submit workers that join the run whose access file this is. They wait for the file. Logs go to a folder slurm beside it.

options:
  --access FILE             the run's access file (RUN/access), or a copy
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
    --access=*) access=${word#*=} ;;
    --*=*) take_option "${word%%=*}" "${word#*=}" || set -- "$@" "$word" ;;
    *)
        if [ "$word" = --access ] && [ "$left" -gt 0 ]; then access=$1
        elif ! take_option "$word" "${1-}"; then set -- "$@" "$word"; continue; fi
        [ "$left" -gt 0 ] || die "$word: a value was expected"
        shift; left=$((left - 1))
        ;;
    esac
done
[ -n "$access" ] || die "--access FILE was expected"
access=$(absolute "$access")
logs=$(dirname "$access")/slurm
settle
submit "$left" "$@"
