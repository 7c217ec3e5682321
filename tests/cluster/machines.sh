# Two machines as a user would have them: network namespaces with a cable between them, nothing shared but a copy of the data set under
# another path, and of the access file. Nothing is said but what README says. See run.sh.
. "$(dirname "$0")/lib.sh"

head_machine=mendel-head-$$ away_machine=mendel-away-$$
leave_machines() {
    ip netns delete $head_machine 2>/dev/null
    ip netns delete $away_machine 2>/dev/null
    clean_up
}
for tool in ip unshare mount; do
    command -v $tool >/dev/null || { echo "skipped: needs $tool"; theme_end; exit; }
done
if ! { [ "$(id -u)" -eq 0 ] && ip netns add $head_machine && ip netns add $away_machine; } 2>/dev/null; then
    ip netns delete $head_machine 2>/dev/null
    echo "skipped: needs root, and leave to make network namespaces"
    theme_end
    exit
fi
trap leave_machines EXIT
ip link add mh$$ type veth peer name ma$$
ip link set mh$$ netns $head_machine
ip link set ma$$ netns $away_machine
for machine in "$head_machine mh$$ 10.77.0.1" "$away_machine ma$$ 10.77.0.2"; do
    set -- $machine
    ip netns exec $1 ip addr add $3/24 dev $2
    ip netns exec $1 ip link set $2 up
    ip netns exec $1 ip link set lo up
done

# on_head COMMAND...: /home/user is the head's folder there, and the other machine's cannot be seen; on_away the other way round.
mkdir -p head away nothing
on() {
    on_machine=$1 on_home=$2; shift 2
    start "$on_log" ip netns exec $on_machine unshare -m sh -c \
        'mount --make-rprivate / && mount --bind "$1" "$2" && mount --bind "$3" "$1" && shift 3 && cd "$0" && exec "$@"' \
        /mnt "$folder/$on_home" /mnt "$folder/nothing" "$@"
}
cp -r "$stage/data" head/pictures
cp "$stage/base.pt" head/start.pt
mkdir -p away/elsewhere
cp -r "$stage/data/." away/elsewhere

on_log=$folder/head.log
on $head_machine head "$programs/coordinator" $warm_task $long_training --data pictures/shapes.yaml --weights start.pt --generations 6 \
    --bind tcp://0.0.0.0:5555 --run run
coordinator=$started
check "a coordinator makes keys and listens" wait_for 30 listening head.log
check "its access file is its owner's alone" test "$(stat -c %a head/run/access)" = 600
cp -p head/run/access away/access
on_log=$folder/away.log
on $away_machine away env XDG_CACHE_HOME=/mnt/cache "$programs/worker" --access access --data-root elsewhere
worker=$started
finish "$coordinator" 300
check "the run ends" test "$code" = 0
finish "$worker" 60
check "so does the worker" test "$code" = 0
complete "two machines" head/run 6
check "everything was trained on the other machine" test "$(grep -c 'fitness' head.log)" -ge 6
check "the weights came over the wire" test -n "$(find away/cache -name '*.pt')"
check "no key is in a log" sh -c '! grep -F -f "$1" head.log away.log' - "$(sed -n 's/^secret *//p' away/access >secret; echo secret)"
theme_end
