#!/bin/sh
# Fuzzers, one after the other, and how much of its parser each has reached.
#
#   tests/fuzz/run.sh PROGRAM_FOLDER SECONDS NAME...
#
# What is known of each lies in tests/fuzz/corpus/NAME.tar.gz and is tried first; new inputs are gathered in PROGRAM_FOLDER/corpus/NAME. KEEP=1
# makes the smallest set that reaches the same what is known.
# A line for each: name, seconds, inputs tried, lines of its parser that were reached. Closes with "N passed, N failed": a fuzzer passes that
# finds nothing and reaches four fifths of the lines.
[ $# -ge 3 ] || { echo "usage: $0 PROGRAM_FOLDER SECONDS NAME..." >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd)
seconds=$2
shift 2
for tool in clang llvm-profdata-14 llvm-cov-14; do
    command -v $tool >/dev/null || { echo "skipped: needs $tool"; echo "0 passed, 0 failed"; exit 0; }
done
cd "$here/../.." || exit 2
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP

# The files whose lines count.
parser_of() {
    case $1 in
    access) echo proto/access.c coordinator/server/keys.c ;;
    evolve) echo coordinator/evolve/population.c ;;
    http) echo coordinator/dashboard/http.c coordinator/dashboard/door.c coordinator/dashboard/answers.c ;;
    image) echo worker/data/image.c worker/data/jpeg.c worker/data/png.c worker/data/bmp.c worker/data/exif.c ;;
    labels) echo worker/data/labels.c ;;
    maps) echo proto/maps.c ;;
    pt) echo worker/model/pickle.c worker/model/pickle_scalars.c worker/model/pickle_values.c worker/model/pt.c worker/model/pt_tensors.c \
        worker/model/pt_state.c worker/model/pt_model.c ;;
    scan) echo worker/data/scan.c ;;
    trainer) echo proto/trainer.c ;;
    wire) echo proto/wire.c ;;
    zip) echo worker/data/unzip.c ;;
    yaml) echo common/yaml.c common/yaml_scalar.c common/hyp.c common/data_yaml.c worker/model/config.c worker/model/config_layer.c ;;
    esac
}

# Functions in them that read nothing: they write, look up, compare, wait.
others='access_write|access_wipe.*|access_free|keys_(add|revoke|open|publish|make_pair|watch.*)|(keys.c:)?(let_in|read_addresses|add|take_off|publish|renew_access|read_own|write_.*|lock_list|take_key|check_folder|make_folder|path_in)
population_(evolve_txt|hyp_evolved|console|rows)|scan_(save|add|stamp|find)|(scan.c:)?(add_entry|in_ns)
metrics_get|map_(need|put|pack)_.*|trainer_(pack|send)|(trainer.c:)?(put_.*|pack_frame|write_.*|is_sent)
wire_(digest_write|envelope|id_text|id_make|sentence|pack)|token_.*
data_(yaml_digest|label_path|yaml_images|digest_compare|yaml_read)|(data_yaml.c:)?(add_image|add_list|add_folder|relative_name|is_image|finish_hash)
hyp_(space_2020_07_20|check|constrain|write|read|round)|fitness|model_config_read|yaml_write.*'

# reached NAME: "lines reached of lines, per cent".
reached() {
    llvm-profdata-14 merge -sparse -o "$programs/$1.profdata" "$programs/$1.profraw" &&
        llvm-cov-14 report -show-functions "$programs/tests/fuzz/$1" -instr-profile="$programs/$1.profdata" $(parser_of "$1") 2>/dev/null |
        awk -v others="^($(echo "$others" | tr '\n' '|'))\$" '$4 ~ /%$/ && $1 != "TOTAL" && $1 !~ others { lines += $5; missed += $6 }
            END { printf "%d of %d %.1f\n", lines - missed, lines, lines ? 100 * (lines - missed) / lines : 0 }'
}

passed=0 failed=0
printf '%-10s %8s %12s %8s   %s\n' fuzzer seconds inputs corpus 'lines of its parser'
# fuzz NAME OPTION... FOLDER...
fuzz() {
    fuzzer=$1; shift
    LLVM_PROFILE_FILE=${profile:-/dev/null} "$programs/tests/fuzz/$fuzzer" "$@"
}

# keep NAME FOLDER: the smallest set, in an archive that is the same whenever the set is.
keep() {
    rm -rf "$programs/smallest" && mkdir "$programs/smallest" &&
        fuzz "$1" -set_cover_merge=1 "$programs/smallest" "$2" >/dev/null 2>&1 &&
        (cd "$programs/smallest" && tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -- * | gzip -9n) \
            >"$here/corpus/$1.tar.gz"
}

for name; do
    corpus=$programs/corpus/$name
    mkdir -p "$corpus"
    [ ! -e "$here/corpus/$name.tar.gz" ] || tar -xzf "$here/corpus/$name.tar.gz" -C "$corpus"
    started=$(date +%s)
    fuzz "$name" -max_total_time="$seconds" -rss_limit_mb=3000 -timeout=60 -max_len=65536 -artifact_prefix="$programs/$name-" \
        -print_final_stats=1 "$corpus" >"$log" 2>&1
    code=$?
    took=$(($(date +%s) - started))
    tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    [ -z "$KEEP" ] || keep "$name" "$corpus"
    profile=$programs/$name.profraw fuzz "$name" -runs=0 "$corpus" >/dev/null 2>&1
    lines=$(reached "$name")
    printf '%-10s %8s %12s %8s   %s %%\n' "$name" "$took" "${tried:-?}" "$(ls "$corpus" | wc -l)" "$lines"
    if [ $code -ne 0 ]; then
        echo "FAILED   $name: a finding"
        tail -n 40 "$log"
        failed=$((failed + 1))
    elif ! echo "$lines" | awk '{ exit !($4 >= 80) }'; then
        echo "FAILED   $name: four fifths of the lines were expected"
        failed=$((failed + 1))
    else passed=$((passed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
