# Over TCP: other working directories, data roots, weights that travel, several slots. See run.sh.
. "$(dirname "$0")/lib.sh"

# A machine of its own, as far as files go: the data set lies elsewhere, and nothing of the coordinator's can be reached by the paths
# that it has there.
mkdir -p head away/pictures away/desk
cp -r "$stage/data/." away/pictures
cp -r "$stage/data" head/data
cp "$stage/base.pt" head/start.pt
free_port
address=tcp://127.0.0.1:$port

# work_over_tcp NAME OPTION...: as `work`, from another working directory, with a cache of its own.
work_over_tcp() {
    tcp_name=$1; shift
    start "$tcp_name.log" env -C "$folder/away/desk" XDG_CACHE_HOME="$folder/$tcp_name.cache" "$programs/worker" --cpu 1 \
        --coordinator $address --insecure --data-root "$folder/away/pictures" --spool "$folder/$tcp_name.spool" "$@"
    worker=$started
}

coordinate head/run $warm_task $long_training --data head/data/shapes.yaml --weights head/start.pt --generations 8 --bind $address --insecure
wait_for 30 listening head/run.log
check "a coordinator listens on a TCP port" listening head/run.log
mv head/start.pt head/moved.pt # a path that a worker on another machine could not read either
work_over_tcp n; n=$worker
wait_for 30 logged n.log 'welcome to run'
sleep 0.5
check "a worker cannot train without the weights" yields head/run "select count(*) from attempts" 0
mv head/moved.pt head/start.pt
work_over_tcp o --slots 2; o=$worker
finish $coordinator
check "a run over TCP ends with 0" [ $code -eq 0 ]
finish $n
check "... its worker with one slot too" [ $code -eq 0 ]
finish $o
check "... and the one with two" [ $code -eq 0 ]
complete "over TCP" head/run 8
check "... three slots have trained" yields head/run "select count(*) from (select distinct worker, slot from attempts)" 3
same_weights() { [ "$(find "$1" -name '*.pt' | wc -l)" -eq 1 ] && cmp "$(find "$1" -name '*.pt')" head/start.pt; }
check "... the weights came over the wire, whole" same_weights n.cache
check "... for the second worker as well" same_weights o.cache
check "... nothing half-fetched is left" [ -z "$(find n.cache o.cache -name '*.part')" ]

# The coordinator goes away and comes back: workers over TCP find it again.
free_port
address=tcp://127.0.0.1:$port
coordinate head/back $task $long_training --data head/data/shapes.yaml --generations 5 --bind $address --insecure
work_over_tcp p; p=$worker
wait_for 60 has_done head/back 1
kill9 $coordinator
coordinate head/back $task $long_training --data head/data/shapes.yaml --generations 5 --bind $address --insecure
finish $coordinator
check "a killed coordinator comes back to its port" [ $code -eq 0 ]
complete "back again" head/back 5
finish $p
check "... its worker ends with 0" [ $code -eq 0 ]

# Two workers may not write the same spool, and many slots have files of their own.
coordinate slots $task --generations 6
wait_for 30 listening slots.log
work q slots --slots 3; q=$worker
wait_for 30 logged q.log 'welcome to run'
: >output
start output "$programs/worker" --cpu 1 --run slots --spool q.spool
finish $started
check "a spool has one worker" [ $code -eq 1 ]
says "... the second one names the first" output "error:" "q.spool" "$q"
finish $coordinator
complete "three slots" slots 6
finish $q

theme_end
