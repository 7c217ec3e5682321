#!/bin/sh
# Who gets in over TCP, who does not, and that keys stay where they belong; with real processes that train for real.
#
#   tests/security/run.sh PROGRAM_FOLDER     (coordinator, worker, train, shapes, backend_cpu.so, tests/cluster/history,
#                                             tests/tests/security/coordinator_test, files_test and flood_test)
#
# A line for each check; the output of what went wrong. Closes with "N passed, N failed" and fails when one did.
[ $# -eq 1 ] || { echo "usage: $0 PROGRAM_FOLDER" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
tests=$(cd "$(dirname "$0")/.." && pwd)
top=$(mktemp -d /tmp/msXXXXXX) || exit 2
mkdir "$top/runs"
"$tests/cluster/stage.sh" "$programs" "$top/stage" >"$top/stage.log" 2>&1 ||
    { cat "$top/stage.log"; rm -rf "$top"; echo "0 passed, 1 failed"; exit 1; }
set -- "$programs" "$top/runs" "$top/stage"
. "$tests/cluster/lib.sh"
trap 'clean_up; rm -rf "$top"' EXIT
export MENDEL_LOG=debug # whatever there is to say

# ---- machines of their own, as far as files go ----

mkdir -p away/desk
cp -r "$stage/data" away/pictures
anywhere='tcp://127.0.0.1:*'

# afar NAME OPTION...: a worker with its own working directory and cache, log in NAME.log, spool in NAME.spool; its pid is in $worker.
afar() {
    afar_name=$1; shift
    start "$afar_name.log" env -C "$folder/away/desk" XDG_CACHE_HOME="$folder/$afar_name.cache" "$programs/worker" --cpu 1 \
        --data-root "$folder/away/pictures" --spool "$folder/$afar_name.spool" "$@"
    worker=$started
}
keys() { "$programs/coordinator" keys "$@"; }
mode() { stat -c %a "$1"; }
value() { sed -n "s/^$2 *//p" "$1" | head -n 1; }

start coordinator_test.log "$programs/tests/tests/security/coordinator_test"
meanwhile=$started # mostly it waits

# ---- without being asked nobody listens to other machines; and what the documentation claims is tested ----

# The addresses, in hex, at which a process takes TCP connections.
tcp_addresses() {
    ls -l "/proc/$1/fd" | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p' >sockets
    awk 'NR == FNR { own[$1]; next } $4 == "0A" && $10 in own { sub(":.*", "", $2); print $2 }' sockets /proc/net/tcp /proc/net/tcp6
}
only_loopback() { tcp_addresses "$1" >output; [ -z "$(grep -vx -e 0100007F -e 00000000000000000000000001000000 output)" ]; }
coordinate quiet $task --generations 1
wait_for 30 listening quiet.log
check "a coordinator by itself listens to its own machine alone" only_loopback $coordinator
check "... and makes no keys" [ ! -e quiet/keys -a ! -e quiet/access ]
kill9 $coordinator

claimed() { grep -o '`[a-z]*_[a-z0-9_]*_[a-z0-9_]*`' "$tests/../docs/SECURITY.md" | tr -d '`' | sort -u; }
claims_are_tested() {
    [ "$(claimed | wc -l)" -ge 20 ] || return 1
    for claim in $(claimed); do
        (cd "$tests/.." && grep -rqw --include='*_test.c' "static void $claim" common proto coordinator worker tests) ||
            { echo "no test is called $claim"; return 1; }
    done
}
check "every test that docs/SECURITY.md names is there" claims_are_tested

# ---- with the right keys ----

coordinate one $warm_task $long_training --generations 4 --bind "$anywhere"
one=$coordinator
wait_for 30 listening one.log
check "a TCP address is at the address that was said" [ "$(tcp_addresses $one | sort -u | tr '\n' ' ')" = "0100007F " ]
check "a TCP address makes keys and an access file" [ -s one/access -a -s one/keys/coordinator -a -s one/keys/workers ]
check "... for their user alone" [ "$(mode one/access) $(mode one/keys) $(mode one/keys/coordinator) $(mode one/keys/workers)" = "600 700 600 600" ]
check "... and says how workers come in" grep -q 'worker --access .*/one/access' one.log
afar a --access "$folder/one/access"; a=$worker
wait_for 30 grep -q 'candidate . started' a.log
check "the access file is all that a worker elsewhere needs" grep -q 'welcome to run' a.log
keys add node2 --run one --out node2.access >output 2>&1
check "a key can be added while the coordinator runs" grep -q 'node2.access lets .node2. in' output
check "... with an access file of its own" [ "$(mode node2.access)" = 600 ]
afar b --access "$folder/node2.access"; b=$worker
wait_for 30 grep -q 'candidate . started' b.log
check "... whose worker comes in" grep -q 'welcome to run' b.log
keys list --run one >output 2>&1
check "the list names both" [ "$(grep -c 'added 2' output)" -eq 2 ]
check "... without secrets" [ "$(grep -cF -e "$(value one/access secret)" -e "$(value node2.access secret)" output)" -eq 0 ]

# Everything that can be seen of them while they run.
for pid in $(ours); do
    tr '\0' '\n' <"/proc/$pid/cmdline"
    tr '\0' '\n' <"/proc/$pid/environ"
done >seen.processes 2>/dev/null
{ "$programs/coordinator" status --run one; "$programs/coordinator" trials --run one; } >seen.status 2>&1
finish $one
check "the run ends with 0" [ $code -eq 0 ]
finish $a; code_a=$code
finish $b
check "... and so do its workers" [ "$code_a $code" = "0 0" ]
complete "with keys" one 4
{ "$programs/coordinator" best --run one; "$programs/coordinator" export --run one; } >seen.results 2>&1

# secret_of FILE: none of these is anywhere but in its file.
has_leaked() {
    grep -rlaF -e "$1" . --include='*' 2>/dev/null | grep -vx -e ./one/keys/coordinator -e ./one/access -e ./node2.access -e ./check.out -e ./output
}
stays() { [ -n "$1" ] && ! has_leaked "$1"; }
check "processes, logs, status and files were looked at" [ -s seen.processes -a -s seen.status -a -s seen.results -a -s one.log -a -s a.log ]
check "the coordinator's secret key is in its file and nowhere else" stays "$(value one/keys/coordinator secret)"
check "the worker's secret key is in its access file and nowhere else" stays "$(value one/access secret)"
check "... and so is the other worker's" stays "$(value node2.access secret)"
check "... which a search would have found" has_leaked "$(value one/access public)"

# ---- with the wrong ones ----

coordinate two $task --generations 1 --bind "$anywhere"
two=$coordinator
wait_for 30 listening two.log
address=$(value two/access address)
# changed FROM NEW KEYWORD VALUE...: FROM with other values behind these keywords.
changed() {
    cp -p "$1" "$2"; changed_file=$2; shift 2
    while [ $# -gt 0 ]; do
        awk -v k="$1" -v v="$2" '$1 == k { print k, v; next } { print }' "$changed_file" >"$changed_file.new"
        cat "$changed_file.new" >"$changed_file"; shift 2
    done
}
changed two/access other_server server "$(value one/access server)"
changed one/access stranger server "$(value two/access server)" address "$address"
changed two/access halves secret "$(value one/access secret)"
afar w1 --access "$folder/other_server" --give-up 2; w1=$worker
afar w2 --access "$folder/stranger" --give-up 2; w2=$worker
afar w3 --coordinator "$address" --insecure --give-up 2; w3=$worker

refuse "keys that are no pair" "halves" "no pair" -- "$programs/worker" --cpu 1 --access halves
cp two/access open; chmod 644 open
refuse "an access file that others can read" "open" "chmod 600" -- "$programs/worker" --cpu 1 --access open
install -m 600 away/pictures/shapes.yaml none
refuse "an access file that is none" "none:1: 'mendel-access 1' was expected" -- "$programs/worker" --cpu 1 --access none
changed two/access short server xyz
refuse "a malformed key" "short:" "server: a key of 40 characters" -- "$programs/worker" --cpu 1 --access short
changed two/access name worker ../../x
refuse "a malformed name" "name:" "worker: a name" -- "$programs/worker" --cpu 1 --access name
cp -p two/access nowhere; sed -i '/^address /d' nowhere
refuse "an access file without an address" "nowhere" "'address' is missing" -- "$programs/worker" --cpu 1 --access nowhere
refuse "no access file" "gone.access" -- "$programs/worker" --cpu 1 --access gone.access
refuse "keys and none" "--access and --insecure" -- "$programs/worker" --cpu 1 --access two/access --insecure
refuse "keys for a socket of this machine" "--access" "ipc://" -- "$programs/worker" --cpu 1 --access two/access --coordinator ipc:///x
if [ "$(id -u)" -eq 0 ]; then
    cp -p two/access theirs && chown 12345 theirs
    refuse "an access file of somebody else" "theirs" "user 12345" -- "$programs/worker" --cpu 1 --access theirs
else skip "root, to have a file of somebody else"; fi

finish $w1; check "a coordinator with another key is not talked to" [ $code -eq 1 ]
says "... and the worker says so" w1.log "breaks the handshake off"
finish $w2; check "a worker with a key of another run stays out" [ $code -eq 1 ]
says "... and hears why" w2.log "does not let this worker's key in"
finish $w3; check "a worker without a key stays out" [ $code -eq 1 ]
says "... and hears why" w3.log "it expects keys"
check "the coordinator has met none of them" [ "$(grep -c 'is here' two.log)" -eq 0 ]
says "... and says that one knocked" two.log "127.0.0.1 was turned away" "not on the list"

# ---- keys on the command line ----

refuse_keys() { refuse_words=$1; shift; ! keys "$@" >output 2>&1 && grep -qF -e "$refuse_words" output; }
check "a name that is taken is refused" refuse_keys "'default'" add default --run two
check "a name that would be a path is refused" refuse_keys "letters" add ../x --run two
check "a file that is there is not replaced" refuse_keys "is there already" add node9 --run two --out short
check "revoking nobody is an error" refuse_keys "'nobody'" revoke nobody --run two
check "a run that never had keys has none" refuse_keys "--bind" list --run away
check "... and gets none by looking" [ ! -e away/keys ]
check "a command that is none explains itself" refuse_keys "keys list" lift --run two

# ---- revoked in the midst of a training; another port after a restart ----

keys add node2 --run two --out two.node2 >output 2>&1
coordinate three $task $long_training --epochs 400 --generations 1 --bind "$anywhere"
three=$coordinator
wait_for 30 listening three.log
keys add second --run three --out second.access >output 2>&1
afar c --access "$folder/three/access"; c=$worker
wait_for 30 trains $c c
afar d --access "$folder/second.access"; d=$worker
wait_for 30 grep -q 'welcome to run' d.log
before=$(date +%s)
check "a key is revoked while its worker trains" keys revoke default --run three
finish $c 10
check "... which ends the worker" [ $code -eq 1 ]
says "... with the reason" c.log "refused by the coordinator: its key was taken off the list"
wait_for 10 grep -q 'candidate 1 started' d.log
check "... and its candidate goes to another at once" [ $(($(date +%s) - before)) -le $((4 * slower)) ]
check "... as a second attempt, the first lost" yields three "select group_concat(state) from (select state from attempts order by attempt)" lost,leased
afar e --access "$folder/three/access" --give-up 2; e=$worker
kill9 $d # nobody waits for those 400 epochs
finish $e
kill9 $three
check "... the revoked key stays out" [ $code -eq 1 ]
says "... and says why" e.log "does not let this worker's key in"

afar f --access "$folder/two/access" --stay; f=$worker # trains the one candidate of `two` and waits for the next run
finish $two
check "after all that the right key still comes in" [ $code -eq 0 ]
complete "beside wrong keys" two 1
kill -INT $f
finish $f

coordinate four $task $long_training --generations 2 --bind "$anywhere"
four=$coordinator
wait_for 30 listening four.log
first=$(value four/access address)
afar g --access "$folder/four/access"; g=$worker
wait_for 30 trains $g g
kill9 $four
coordinate four $task $long_training --generations 2 --bind "$anywhere"
four=$coordinator
wait_for 30 sh -c '[ "$(grep -c "workers connect to" four.log)" -eq 2 ]'
check "a coordinator that is started again has the same keys" [ "$(value four/access server)" = "$(sed -n 's/^public //p' four/keys/coordinator)" ]
check "... and another port in the access file" [ "$(value four/access address)" != "$first" ]
finish $four
check "... where its worker finds it" [ $code -eq 0 ]
finish $g
check "... without having been started again" [ $code -eq 0 ]
complete "with a new port" four 2

# ---- guests that mean it badly ----

# came_through NAME: what a program of its own has found, its output in NAME.log, its exit status in $code.
came_through() {
    cp "$1.log" output
    if [ "$code" -eq 0 ]; then
        passed=$((passed + $(sed -n 's/.*\[  PASSED  \] \([0-9]*\) test.*/\1/p' output)))
        echo "ok       guests that mean it badly: $1"
    else fail "guests that mean it badly" "$1"; fi
}
finish $meanwhile 120
came_through coordinator_test
start files_test.log "$programs/tests/tests/security/files_test"
finish $started 120
came_through files_test
start flood_test.log "$programs/tests/tests/security/flood_test"
finish $started 120
came_through flood_test
theme_end
[ "$failed" -eq 0 ]
