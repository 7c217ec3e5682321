#!/bin/sh
# The containers for real, without a registry or a Docker engine: the base image from debootstrap, buildah, and docker-compose on podman.
#
#   tests/deploy/compose.sh PROGRAM_FOLDER [quick]      (coordinator, worker, train, shapes, backend_cpu.so, tests/cluster/history)
#
# Builds the image as its Dockerfile says, which compiles everything: some minutes. `quick` puts these programs, with the libraries of this
# machine, on the same base instead. BASE_TREE=FOLDER is a Debian 12 that debootstrap has made already. Then an evolution runs through
# compose. Needs root. Closes with "N passed, N failed".
# shellcheck disable=SC2016,SC2086,SC2154,SC3044 # lib.sh brings option lists, folders and a `complete`; containers expand
[ $# -ge 1 ] || { echo "usage: $0 PROGRAM_FOLDER [quick]" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
quick=${2:-}
tests=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$tests/../.." && pwd)
for tool in iptables docker-compose buildah podman runc netavark aardvark-dns debootstrap; do
    [ -x "/usr/lib/podman/$tool" ] || command -v $tool >/dev/null || { echo "skipped: needs $tool"; exit 0; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root for containers"; exit 0; }

top=$(mktemp -d /tmp/mkXXXXXX) && chmod 755 "$top" || exit 2
mkdir "$top/work"
"$tests/../cluster/stage.sh" "$programs" "$top/stage" >"$top/stage.log" 2>&1 ||
    { cat "$top/stage.log"; rm -rf "$top"; echo "0 passed, 1 failed"; exit 1; }
set -- "$programs" "$top/work" "$top/stage"
# shellcheck source-path=SCRIPTDIR source=../cluster/lib.sh
. "$tests/../cluster/lib.sh"
project=mendeltest$$
service=''

end_containers() {
    [ -z "$service" ] || timeout 60 docker-compose $files -p "$project" down --timeout 5 --volumes >/dev/null 2>&1
    [ -z "$service" ] || kill "$service" 2>/dev/null
    clean_up
    [ ! -e "$top/storage.conf" ] || podman system reset --force >/dev/null 2>&1
    rm -rf "$top"
}
trap end_containers EXIT

# ---- the compose files ----

compose_accepts() { docker-compose -f "$1" config >config.out 2>&1 || { cat config.out; return 1; }; }
for file in compose.yaml compose.worker.yaml; do
    check "$file is well formed" compose_accepts "$source/deploy/$file"
    says "... with GPUs reserved" config.out "capabilities:"
    says "... and time to hand work on" config.out "stop_grace_period: 45s"
    sed 's/count: all/cuont: all/' "$source/deploy/$file" >"$top/misspelt.yaml"
    check "... a misspelt key is not" sh -c "! docker-compose -f '$top/misspelt.yaml' config"
done
shows_secret() { grep -A 3 '^secrets:' config.out | grep -q 'file: .*/access'; }
check "... the access file is a secret on other machines" shows_secret

# ---- a base image, and ours ----

printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$top/images" "$top/run" >"$top/storage.conf"
printf '%s\n' '[containers]' 'default_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]' '[network]' 'network_backend = "netavark"' \
    '[engine]' 'runtime = "runc"' 'cgroup_manager = "cgroupfs"' 'events_logger = "file"' >"$top/containers.conf"
export CONTAINERS_STORAGE_CONF="$top/storage.conf" CONTAINERS_CONF="$top/containers.conf" BUILDAH_ISOLATION=chroot

make_tree() {
    tree=$top/root
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
    debootstrap --variant=minbase bookworm "$tree" "$mirror" || return 1
    rm -f "$tree/etc/apt/sources.list"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        ! grep -qs bookworm "$list" || cp "$list" "$tree/etc/apt/sources.list.d/"
    done
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries)' >"$tree/etc/apt/apt.conf.d/99host"
    echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/unsafe-io" # an image that is not finished is thrown away
    cp /etc/hosts /etc/resolv.conf "$tree/etc/"
}
make_base() {
    tree=${BASE_TREE:-}
    [ -n "$tree" ] || make_tree || return 1
    tar -C "$tree" --exclude='./var/lib/apt/lists/*' -c . | podman import - docker.io/library/debian:12
}
check "a base image is made" make_base

# The run-time part of the Dockerfile, on what is here.
quick_context() {
    context=$top/context
    mkdir -p "$context/image/usr/local/bin" "$context/image/usr/local/lib/mendel" "$context/image/usr/local/share/mendel/models" \
        "$context/image/usr/local/lib/borrowed" "$context/deploy" "$context/image/etc/ld.so.conf.d" &&
    for name in coordinator worker train; do cp "$programs/$name" "$context/image/usr/local/bin/mendel-$name" || return 1; done &&
    cp "$programs/backend_cpu.so" "$context/image/usr/local/lib/mendel/" &&
    ldd "$programs/coordinator" "$programs/worker" "$programs/train" "$programs/backend_cpu.so" |
        sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u | xargs cp -Lt "$context/image/usr/local/lib/borrowed" &&
    echo /usr/local/lib/borrowed >"$context/image/etc/ld.so.conf.d/borrowed.conf" &&
    cp -r "$source/deploy/docker" "$context/deploy/" &&
    sed -e '/^FROM .* AS build/,/^FROM/{/^FROM ..BASE.$/!d}' -e 's/^COPY --from=build .image/COPY image/' -e '/^COPY --from=build .packages/d' \
        -e '/^RUN apt-get/,/rm -rf/d' -e 's/^USER/RUN ldconfig\n&/' "$source/deploy/docker/Dockerfile" >"$context/Dockerfile"
}
build_image() {
    if [ "$quick" = quick ]; then quick_context && buildah bud --pull-never -t mendel:cpu "$context"
    else buildah bud --pull-never --build-arg JOBS="$(nproc)" -t mendel:cpu -f "$source/deploy/docker/Dockerfile" "$source"; fi
}
check "the image is built${quick:+, the quick way}" build_image
image() { podman run --rm --network host "$@"; }
check "... it has the three programs" sh -c 'for p in coordinator worker train; do podman run --rm --network host mendel:cpu $p --version || exit 1; done'
check "... all that they are linked with is there" image mendel:cpu sh -c '! ldd /usr/local/bin/mendel-* /usr/local/lib/mendel/*.so | grep "not found"'
check "... and no compiler" image mendel:cpu sh -c '! command -v gcc make'
check "... they are not run by root" image mendel:cpu sh -c '[ "$(id -u)" -eq 1000 ] && [ -w /runs ] && [ -w /state ]'
check "... nothing else can be written" image --read-only --tmpfs /tmp mendel:cpu sh -c '! touch /usr/local/x && touch /tmp/x'
check "a GPU is locked by one worker alone" image --tmpfs /tmp -e MENDEL_DEVICE=gpu -e MENDEL_DEVICES=/tmp mendel:cpu sh -c '
    /usr/local/lib/mendel/entry.sh worker 2>&1 | grep -q "none of this machine.s 0 GPUs is free"'

# ---- an evolution ----

# Data set and model in a folder that containers see; options are the coordinator's.
cp -r "$stage/data" data
cp "$stage/tiny.yaml" data/
chmod -R a+rX data
free_port; dashboard=$port
free_port; port=$((port + 1))
options="--data /data/shapes.yaml --cfg /data/tiny.yaml --weights= --img-size 64 --batch-size 8 --epochs 100 --threads 1"
cat >.env <<ENV
MENDEL_DATA=$folder/data
MENDEL_CPUS=1
MENDEL_PORT=$port
MENDEL_DASHBOARD=$dashboard
MENDEL_OPTIONS=$options --precision fp32 --noautoanchor --heartbeat 0.5 --lease 20 --generations 12
ENV
files="--env-file $folder/.env -f $source/deploy/compose.yaml"
compose() { docker-compose $files -p "$project" "$@"; }
export DOCKER_HOST="unix://$top/podman.sock"
start podman.log podman system service -t 0 "$DOCKER_HOST"
service=$started
check "podman answers as an engine" wait_for 20 podman --remote --url "$DOCKER_HOST" info
check "compose up starts a coordinator and four workers" compose up --detach --no-build --scale worker=4
container() { podman ps --all --format '{{.Names}}' | grep "${project}[-_]$1" | head -n 1; }
logs() { podman logs "$(container "$1")" 2>&1; }
log_says() { logs "$1" | grep -q "$2"; }
check "... workers find it by name and are let in" wait_for 60 log_says worker 'welcome to run'
check "... the coordinator is healthy" wait_for 30 podman exec "$(container coordinator)" /usr/local/lib/mendel/healthy.sh
check "... a worker is" podman exec "$(container worker)" /usr/local/lib/mendel/healthy.sh
check "... it sees nothing of the coordinator's keys" podman exec "$(container worker)" sh -c '[ -r /access/access ] && [ ! -e /runs/evolve ]'
check "... a worker is stopped" podman stop --time 45 "$(container worker)"
check "... it leaves in time" sh -c "! podman inspect --format '{{.State.ExitCode}}' $(container worker) | grep -q 137"
exited() { [ "$(podman inspect --format '{{.State.Status}}' "$(container coordinator)" 2>/dev/null)" = exited ]; }
check "... the run comes to its end" wait_for 240 exited
check "... with 0" [ "$(podman inspect --format '{{.State.ExitCode}}' "$(container coordinator)")" = 0 ]
if [ "$failed" -gt 0 ]; then compose logs --no-color 2>&1 | tail -n 60; fi
volume=$(podman volume inspect --format '{{.Mountpoint}}' "${project}_runs" 2>/dev/null)
cp -r "$volume/evolve" evolve 2>>output
complete "compose" evolve 12
check "... nothing was lost" yields evolve "select count(*) from attempts where state in ('lost', 'failed')" 0
check "the same command has nothing left to do" compose up --detach --no-build --scale worker=1
check "compose down takes all of it away" compose down --timeout 5 --volumes

theme_end
[ "$failed" -eq 0 ]
