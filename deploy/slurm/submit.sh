# submit.sh - what run.sh and workers.sh have in common: options, and the command line for sbatch. Sourced by both.
#
# Options of their own are taken out of the command line; whatever else stands in front of `--` is handed to sbatch as it is.
# shellcheck shell=sh
# shellcheck disable=SC2034 # the variables are for the scripts that source this
# Those set deploy (this folder), access (the access file), logs (a folder), and run, empty for workers alone.
deploy=${deploy:?} access='' logs='' run=''
nodes=1 gpus=0 workers='' cpus=1 programs='' container='' image='' mounts='' data_root='' restarts=100 dry_run=false
options_help="  --nodes N                 nodes (1)
  --gpus-per-node G         GPUs of each node, a worker for each; 0: workers on CPUs (0)
  --workers-per-node W      workers of each node; by default one a GPU, else 1
  --cpus-per-task C         cores of each worker (1)
  --programs DIR            where coordinator, worker and train are, on all nodes; by default what is built or installed here
  --data-root DIR           where the relative paths of the run's data set start on the workers' nodes; run.sh: by default
                            the folder of --data, to be seen by all nodes
  --container-image IMAGE   in containers, by pyxis
  --apptainer IMAGE.sif     in containers, by Apptainer
  --container-mounts A:B,.. folders that containers see besides the working directory, the run's folder and --data-root
  --restarts N              how often the job may requeue itself (100)
  --dry-run                 print the command, submit nothing
Other options in front of -- are sbatch's own: --time 8:00:00 --partition low --array 0-5%3"

die() { echo "$0: $*" >&2; exit 2; }

# number OPTION VALUE LEAST: a whole number that is no smaller.
number() {
    case $2 in '' | *[!0-9]*) die "$1: a number was expected, found '$2'" ;; esac
    [ "$2" -ge "$3" ] || die "$1: at least $3 was expected, found $2"
}

# take_option NAME VALUE: false when it is none of these.
take_option() {
    case $1 in
    --nodes) number "$1" "$2" 1; nodes=$2 ;;
    --gpus-per-node) number "$1" "$2" 0; gpus=$2 ;;
    --workers-per-node) number "$1" "$2" 1; workers=$2 ;;
    --cpus-per-task) number "$1" "$2" 1; cpus=$2 ;;
    --restarts) number "$1" "$2" 0; restarts=$2 ;;
    --programs) programs=$2 ;;
    --data-root) data_root=$2 ;;
    --container-image) container=pyxis image=$2 ;;
    --apptainer) container=apptainer image=$2 ;;
    --container-mounts) mounts=$2 ;;
    *) return 1 ;;
    esac
}

# Settle what was left open, once all options are known.
settle() {
    : "${workers:=$((gpus > 0 ? gpus : 1))}"
    [ "$gpus" -eq 0 ] || [ $((gpus % workers)) -eq 0 ] ||
        die "--gpus-per-node $gpus cannot be shared by $workers workers"
    [ -z "$data_root" ] || data_root=$(cd "$data_root" && pwd) || die "--data-root: no such folder"
    [ -n "$container" ] || find_programs
}

# Built beside this folder, installed, or where --programs says: $programs and the names' prefix, "" or "mendel-".
find_programs() {
    prefix=
    if [ -z "$programs" ]; then
        if [ -x "$deploy/../../build/worker" ]; then programs=$deploy/../../build
        elif command -v mendel-worker >/dev/null; then programs=$(dirname "$(command -v mendel-worker)")
        else die "no programs: build them, install them, or give --programs DIR"; fi
    fi
    programs=$(cd "$programs" && pwd) || die "--programs: no such folder"
    if [ ! -x "$programs/worker" ]; then
        [ -x "$programs/mendel-worker" ] || die "--programs: no worker in $programs"
        prefix=mendel-
    fi
}

# A path that does not depend on the working directory.
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

quoted() { for word; do printf " '%s'" "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done; }

# submit COUNT WORD...: the first COUNT words are for the program, the others for sbatch.
submit() {
    programs_own=$1 turned=0; shift
    sbatch_own=$(($# - programs_own))
    # Words are turned round, from the front to the end, until they stand in this order: ours, sbatch's, job.sh's, the program's.
    while [ "$turned" -lt "$programs_own" ]; do set -- "$@" "$1"; shift; turned=$((turned + 1)); done
    # The script hears of a coming end two minutes ahead, tells the workers and requeues the job.
    set -- "$@" sbatch --nodes "$nodes" --ntasks-per-node "$workers" --cpus-per-task "$cpus" --requeue --open-mode append \
        --signal B:USR1@120 --job-name mendel --output "$logs/%x-%j.out"
    [ "$gpus" -eq 0 ] || set -- "$@" --gpus-per-node "$gpus"
    turned=0
    while [ "$turned" -lt "$sbatch_own" ]; do set -- "$@" "$1"; shift; turned=$((turned + 1)); done
    set -- "$@" "$deploy/job.sh" --deploy "$deploy" --logs "$logs" --access "$access" --workers "$workers" --cpus "$cpus" \
        --gpus "$((gpus / workers))" --restarts "$restarts"
    [ -z "$run" ] || set -- "$@" --run "$run"
    [ -z "$data_root" ] || set -- "$@" --data-root "$data_root"
    if [ -n "$container" ]; then set -- "$@" --container "$container" --image "$image" --mounts "$mounts"
    else set -- "$@" --programs "$programs/$prefix"; fi
    set -- "$@" --
    turned=0
    while [ "$turned" -lt "$programs_own" ]; do set -- "$@" "$1"; shift; turned=$((turned + 1)); done
    if $dry_run; then quoted "$@" | sed 's/^ //'; echo; return; fi
    mkdir -p "$logs" && "$@"
}
