#!/bin/sh
# The Slurm deployment on a real Slurm: a controller and two nodes as processes of this machine, device files as GPUs.
#
#   tests/deploy/slurm.sh PROGRAM_FOLDER      (coordinator, worker, train, shapes, backend_cpu.so, tests/cluster/history)
#
# Needs root: nodes run jobs of users. Everything lies in a folder of its own, on ports of its own. A line for each check; closes with
# "N passed, N failed".
# shellcheck disable=SC2086,SC2154,SC3044 # lib.sh brings option lists, folders and a `complete`
[ $# -eq 1 ] || { echo "usage: $0 PROGRAM_FOLDER" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
tests=$(cd "$(dirname "$0")" && pwd) deploy=$(cd "$(dirname "$0")/../../deploy/slurm" && pwd)
for tool in slurmctld slurmd munged sbatch; do
    command -v $tool >/dev/null || { echo "skipped: needs slurm ($tool)"; exit 0; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for slurm"; exit 0; }

top=$(mktemp -d /tmp/msXXXXXX) && chmod 755 "$top" || exit 2
mkdir "$top/work"
"$tests/../cluster/stage.sh" "$programs" "$top/stage" >"$top/stage.log" 2>&1 ||
    { cat "$top/stage.log"; rm -rf "$top"; echo "0 passed, 1 failed"; exit 1; }
set -- "$programs" "$top/work" "$top/stage"
# shellcheck source-path=SCRIPTDIR source=../cluster/lib.sh
. "$tests/../cluster/lib.sh"

# ---- a cluster ----

end_by_file() { for pid_file; do pid=$(cat "$pid_file" 2>/dev/null); [ -z "$pid" ] || [ "$pid" -le 1 ] || kill "$pid" 2>/dev/null; done; }
end_cluster() {
    if [ -n "${SLURM_CONF:-}" ]; then timeout 10 scancel --user root >/dev/null 2>&1; fi
    clean_up
    end_by_file "$top"/slurmd-n0.pid "$top"/slurmd-n1.pid "$top"/ctld.pid
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -n "$(cat "$top"/slurmd-*.pid "$top"/ctld.pid 2>/dev/null)" ] || break
        sleep 0.3
    done
    end_by_file "$top/munge/pid"
    rm -rf "$top"
}
trap end_cluster EXIT

start_cluster() {
    mkdir -p "$top/munge" "$top/state" "$top/spool/n0" "$top/spool/n1" "$top/log" "$top/dev"
    for i in 0 1 2 3 4 5 6 7; do mknod -m 666 "$top/dev/nvidia$i" c 1 3 || return 1; done # as /dev/null
    dd if=/dev/urandom of="$top/munge/key" bs=1024 count=1 status=none
    chmod 600 "$top/munge/key"
    munged --key-file="$top/munge/key" --socket="$top/munge/socket" --pid-file="$top/munge/pid" --log-file="$top/munge/log" \
        --seed-file="$top/munge/seed" || return 1
    host=$(hostname -s)
    printf '%s\n' "NodeName=n0 Name=gpu File=$top/dev/nvidia[0-3]" "NodeName=n1 Name=gpu File=$top/dev/nvidia[4-7]" >"$top/gres.conf"
    free_port; controller=$port
    free_port; port=$((port + 1)); first=$port
    free_port; port=$((port + 2)); second=$port
    tr -s ' ' '\n' >"$top/slurm.conf" <<CONF
ClusterName=test SlurmctldHost=$host(127.0.0.1) SlurmctldPort=$controller SlurmUser=root AuthInfo=socket=$top/munge/socket,cred_expire=5
StateSaveLocation=$top/state SlurmdSpoolDir=$top/spool/%n SlurmctldPidFile=$top/ctld.pid SlurmdPidFile=$top/slurmd-%n.pid
SlurmctldLogFile=$top/log/ctld.log SlurmdLogFile=$top/log/%n.log SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc TaskPlugin=task/none SelectType=select/cons_tres SelectTypeParameters=CR_Core GresTypes=gpu
SchedulerParameters=sched_interval=2,bf_interval=2 SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio PreemptMode=REQUEUE KillWait=20 SlurmctldTimeout=10 SlurmdTimeout=30 ReturnToService=2
CONF
    cat >>"$top/slurm.conf" <<CONF
NodeName=n0 NodeHostname=$host NodeAddr=127.0.0.1 Port=$first CPUs=8 RealMemory=4000 Gres=gpu:4
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$second CPUs=8 RealMemory=4000 Gres=gpu:4
PartitionName=low  Nodes=n0,n1 Default=YES PriorityTier=1 GraceTime=30
PartitionName=high Nodes=n0,n1 PriorityTier=10 PreemptMode=OFF
CONF
    export SLURM_CONF="$top/slurm.conf"
    slurmctld -f "$SLURM_CONF" && slurmd -N n0 -f "$SLURM_CONF" && slurmd -N n1 -f "$SLURM_CONF"
}
ready() { [ "$(sinfo --noheader --Node --partition low --states idle 2>/dev/null | wc -l)" -eq 2 ]; }

state_of() { scontrol --oneliner show job "$1" 2>/dev/null | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p'; }
job_is() { [ "$(state_of "$1")" = "$2" ]; }
job_ended() { case $(state_of "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) ;; *) return 1 ;; esac; }
# submitted COMMAND...: the number of the job is in $job.
submitted() { job=$("$@" 2>>output | sed -n 's/^Submitted batch job //p'); [ -n "$job" ]; }
restarted() { scontrol --oneliner show job "$1" | grep -q 'Restarts=[1-9]'; }
# ends_well NAME JOB RUN N SECONDS: the job completes, and its run with exactly N.
ends_well() {
    wait_for "$5" job_ended "$2"
    if job_is "$2" COMPLETED; then pass "$1: the job ends well"
    else
        { scontrol --oneliner show job "$2"; tail -n 8 "$3"/slurm/*; } >output 2>&1
        fail "$1: the job ends well" "it is $(state_of "$2")"
        scancel "$2" # what comes next wants the nodes
    fi
    complete "$1" "$3" "$4"
    : >output
}

check "a cluster of two nodes with four GPUs each starts" start_cluster
wait_for 30 ready || { cat "$top"/log/*.log >>output; fail "both nodes are idle" "sinfo: $(sinfo 2>&1)"; theme_end; exit 1; }
# ---- the command line, without submitting ----

dry() { dry_script=$1; shift; "$deploy/$dry_script" --dry-run "$@" >dry.out 2>&1; }
dry run.sh --programs "$programs" --nodes=2 --gpus-per-node 4 --time 8:00:00 -- --generations 300 --name "it's"
says "run.sh asks for nodes, a task a GPU, and to be told and requeued" dry.out "'sbatch'" "'--nodes' '2'" "'--ntasks-per-node' '4'" \
    "'--requeue'" "B:USR1@" "'--gpus-per-node' '4'" "'--time' '8:00:00'" job.sh "'--gpus' '1'" "'--' '--generations' '300'"
says "... and knows where the run will be" dry.out "runs/evolve_it'\\''s/access"
dry run.sh --gpus-per-node 4 --workers-per-node 2 --container-image mendel.sqsh -- --run /shared/r
says "two workers of two GPUs each, by pyxis" dry.out "'--ntasks-per-node' '2'" "'--access' '/shared/r/access'" "'--gpus' '2'" "'--container' 'pyxis'"
dry workers.sh --access r/access --apptainer m.sif --array 0-5%3 -- --slots 2
says "workers.sh makes an array, by Apptainer" dry.out "'--array' '0-5%3'" "$PWD/r/access" "'--container' 'apptainer'" "'--' '--slots' '2'"
refused() { says_what=$1; shift; "$@" >dry.out 2>&1; code=$?; check "$says_what" [ $code -eq 2 ]; }
refused "GPUs that cannot be shared are refused" "$deploy/run.sh" --programs "$programs" --gpus-per-node 4 --workers-per-node 3 -- --run r
refused "no options for the coordinator are refused" "$deploy/run.sh" --nodes 2
refused "... and --insecure" "$deploy/run.sh" --programs "$programs" -- --insecure

# ---- devices: what each task would run ----

device() { # LOCALID VISIBLE GPUS EXPECTED
    got=$(env SLURM_LOCALID="$1" CUDA_VISIBLE_DEVICES="$2" "$deploy/worker.sh" --dry-run --access a --gpus "$3" --cpus 2 -- w 2>&1)
    [ "$got" = "w $4--access a" ] || { echo "task $1 of '$2': $got"; return 1; }
}
check "a GPU that is bound to the task is its number 0" device 3 GPU-5f1c 1 "--gpu 0 "
check "GPUs that all tasks see are shared by SLURM_LOCALID" device 3 0,1,2,3 1 "--gpu 3 "
check "... two each" device 1 0,1,2,3 2 "--gpu 2,3 "
check "no GPUs wanted: cores" device 1 "" 0 "--cpu 2 "
check "more tasks than GPUs: refused" sh -c "! SLURM_LOCALID=2 CUDA_VISIBLE_DEVICES=0,1 '$deploy/worker.sh' --dry-run --access a --gpus 1 -- w"

# Stands for a worker with a GPU: notes how it was started, and goes on as one without.
mkdir gpu
cp "$programs/coordinator" gpu/
cat >gpu/worker <<STUB
#!/bin/sh
echo "\$SLURMD_NODENAME \$CUDA_VISIBLE_DEVICES \$*" >>"$folder/devices"
left=\$#
while [ \$left -gt 0 ]; do
    if [ "\$1" = --gpu ]; then shift 2; set -- "\$@" --cpu 1; left=\$((left - 2))
    else set -- "\$@" "\$1"; shift; left=\$((left - 1)); fi
done
exec "$programs/worker" "\$@"
STUB
chmod +x gpu/worker
different_gpus() { [ "$(awk '$1 == "n0" || $1 == "n1" { print $1, $2 }' devices | sort -u | wc -l)" -eq "$1" ] && [ "$(wc -l <devices)" -eq "$1" ]; }
check "a run of eight GPUs on two nodes is submitted" submitted "$deploy/run.sh" --programs gpu --nodes 2 --gpus-per-node 4 -- \
    --run gpus $task --generations 16
ends_well "eight GPUs" "$job" gpus 16 120
check "... each of eight tasks has had a GPU of its own" different_gpus 8
check "... by its number" [ "$(grep -c -- ' --gpu 0 ' devices)" -eq 8 ]

# ---- without GPUs, over two nodes ----

check "a run on the cores of two nodes is submitted" submitted "$deploy/run.sh" --programs "$programs" --nodes 2 --workers-per-node 2 -- \
    --run cores $task --generations 10
ends_well "cores" "$job" cores 10 120
check "... four workers have joined" [ "$(grep -l 'welcome to run' cores/slurm/worker-*.out | wc -l)" -eq 4 ]

# ---- preemption ----

yielded() { [ "$(select_from "$1" "select count(*) from attempts where state = 'yielded'" 2>/dev/null)" -ge 1 ] 2>/dev/null; }
trains_by() { [ -s "$(find "$1/spool" -path '*slot-0/results.txt' 2>/dev/null | head -n 1)" ] && has_done "$1" "$2"; }
# preempted RUN SBATCH_OPTION...: a run, and then a job that takes its nodes.
preempted() {
    name=$1; shift
    check "a run that can be preempted is submitted ($name)" submitted "$deploy/run.sh" --programs "$programs" --nodes 2 "$@" -- \
        --run "$name" $task --epochs 120 --lease 20 --generations 4
    low=$job
    check "... and trains" wait_for 90 trains_by "$name" 1
    check "... a job of higher priority comes" submitted sbatch --partition high --exclusive --nodes 2 --output high.out --wrap 'sleep 3'
    check "... and gets the nodes" wait_for 90 job_ended "$job"
    check "... the run is requeued" restarted "$low"
    check "... candidates in training were handed on" yielded "$name"
    ends_well "$name" "$low" "$name" 4 180
    check "... what was handed on was given out again" grep -qs 'started again\|started from a checkpoint' "$name"/slurm/worker-*.out
    check "... nothing was lost" yields "$name" "select count(*) from attempts where state in ('lost', 'failed')" 0
}
preempted warned
says "... since it was told of it" warned/slurm/mendel-"$low".out "told to go: requeued"
# Where Slurm tells the steps alone, they leave, and a script that ended then would end the job.
sed -i '/preempt_send_user_signal/d' "$SLURM_CONF"
check "a cluster that does not tell scripts of preemption" scontrol reconfigure
wait_for 30 ready
preempted unwarned
says "... since it found out" unwarned/slurm/mendel-"$low".out "preempted: requeued"

# ---- a worker leaves ----

check "a run is submitted" submitted "$deploy/run.sh" --programs "$programs" -- --run left $task --epochs 120 --lease 20 --generations 5
head=$job
wait_for 60 [ -e left/access ]
check "... workers alone join it" submitted "$deploy/workers.sh" --programs "$programs" --access left/access \
    --data-root "$stage/data" --nodelist n1
more=$job
joined() { grep -qs 'welcome to run' left/slurm/worker-"$1"-0.out; }
check "... by the access file" wait_for 60 joined "$more"
check "... and train" wait_for 60 trains_by left 1
lost_before=$(select_from left "select count(*) from attempts where state = 'yielded'")
scancel "$more"
check "a cancelled worker leaves" wait_for 40 job_ended "$more"
check "... its job is not requeued" job_is "$more" CANCELLED
more_yielded() { [ "$(select_from left "select count(*) from attempts where state = 'yielded'")" -gt "$lost_before" ]; }
check "... what it trained is handed on" wait_for 30 more_yielded
scancel --signal TERM "$head.0"
check "a step of workers that was told to go is started again" wait_for 60 grep -qs 'started again' left/slurm/mendel-"$head".out
ends_well "workers that leave" "$head" left 5 180
check "... nothing was lost" yields left "select count(*) from attempts where state = 'lost'" 0

# ---- what cannot go on ----

check "a run without data is submitted" submitted "$deploy/run.sh" --programs "$programs" -- --run broken --data nowhere.yaml --cfg none.yaml
wait_for 60 job_ended "$job"
check "... it fails at once and is not requeued" job_is "$job" FAILED
says "... and says why" broken/slurm/mendel-"$job".out nowhere.yaml

theme_end
[ "$failed" -eq 0 ]
