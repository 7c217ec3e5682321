#!/bin/sh
# What a real coordinator serves, asked with curl. Sourced helpers: ../cluster/lib.sh.
. "$(dirname "$0")/../cluster/lib.sh"

# ---- asking ----

url_of() { cat "$1/dashboard.url"; }
base_of() { url_of "$1" | sed 's/\/?token=.*//'; }
token_of() { url_of "$1" | sed 's/.*token=//'; }
# ask RUN PATH [CURL OPTION...]: with the token; the answer is in `answer`.
ask() {
    ask_run=$1 ask_path=$2; shift 2
    curl -s -m 20 -H "Authorization: Bearer $(token_of "$ask_run")" "$@" "$(base_of "$ask_run")$ask_path" >answer
}
# status_of RUN PATH [CURL OPTION...]: the status, without the token.
status_of() {
    status_run=$1 status_path=$2; shift 2
    curl -s -m 20 -o answer -w '%{http_code}' "$@" "$(base_of "$status_run")$status_path"
}
# is_status NAME EXPECTED RUN PATH [CURL OPTION...]
is_status() {
    is_name=$1 is_wanted=$2; shift 2
    is_got=$(status_of "$@")
    if [ "$is_got" = "$is_wanted" ]; then pass "$is_name"; else cp answer output; fail "$is_name" "$is_got, not $is_wanted"; fi
}
# answers RUN PATH WORDS: the answer has the words.
answers() { ask "$1" "$2" && grep -q -F -e "$3" answer; }
serving() { [ -s "$1/dashboard.url" ] && [ "$(status_of "$1" /healthz)" = 200 ]; }
mode_of() { [ "$(stat -c %a "$1")" = "$2" ] || { stat -c '%a %n' "$1"; return 1; }; }
# absent WORDS FILE...: stands in none of the files.
absent() { ! grep -l -F -e "$@"; }

# ---- a run from its start to its end ----

coordinate run $warm_task --generations 24 --epochs 10
check "a coordinator serves its dashboard without being asked" wait_for 60 serving run
token=$(token_of run)
check "the address is kept for its owner alone" mode_of run/dashboard.url 600
check "the token is, too" mode_of run/dashboard.token 600
check "the log has the address once" test "$(grep -c -F "$(base_of run)" run.log)" = 1
check "and the token nowhere else: not in the log" test "$(grep -c -F "$token" run.log)" = 0
check "which says where it is" grep -q 'dashboard: http://127.0.0.1:[0-9]*/ (with its token: .*/dashboard.url)' run.log
check "the token stands in no command line" absent "$token" /proc/[0-9]*/cmdline
check "it listens on this machine alone" grep -q '^http://127\.0\.0\.1:' run/dashboard.url

is_status "the state is not for everyone" 401 run /api/state
is_status "nor are metrics" 401 run /metrics
is_status "a wrong token is none" 401 run /metrics -H "Authorization: Bearer $(echo "$token" | tr '0-9a-f' '1-9a-f0')"
is_status "the health of the loop is" 200 run /healthz
is_status "another name for this machine is refused" 421 run /healthz -H 'Host: evil.example'
is_status "nothing is taken" 405 run /api/state -X POST -d x
is_status "the token in the address opens, too" 200 run "/metrics?token=$token"
check "metrics are Prometheus's" grep -q '^mendel_generations 24$' answer

printf '%s' "$(url_of run)" >address
check "a browser's first visit ends at the page, with a cookie" sh -c \
    'curl -s -L -c jar -o page -w "%{url_effective}" "$(cat address)" | grep -q "/$" && grep -q mendel_ jar && grep -q "<title>Mendel" page'
check "which opens the rest" sh -c "curl -s -f -b jar $(base_of run)/app.js | grep -q '^import'"
check "the cookie is no script's" grep -q '^#HttpOnly_' jar

curl -s -N -m 900 -b jar "$(base_of run)/api/events" >events &
events=$!
check "events come" wait_for 60 grep -q '^data: {' events

# Paused, it stays as it is until all has been looked at; what follows is seen as one of its candidates is trained.
"$programs/coordinator" pause --run run >/dev/null 2>&1
check "a pause is seen" wait_for 120 answers run /api/state '"phase":"paused"'
work w run
check "the state tells of the worker" wait_for 120 answers run /api/state '"device":"cpu'
check "whoever is paused answers" answers run /api/run '"name":"run"'
"$programs/coordinator" resume --run run >/dev/null 2>&1
check "and its end" wait_for 120 answers run /api/state '"phase":"running"'
check "the state tells of a candidate, and how far that is" wait_for 120 answers run /api/state '"epochs":10,'
check "trials arrive with their results" wait_for 300 answers run /api/trials '"candidate":1,"state":"done","fitness":0.'
finish "$coordinator" 900
check "the run ends well" test "$code" = 0
wait "$events" 2>/dev/null
check "the last event tells of the end" sh -c 'grep "^data" events | tail -n 1 | grep -q "\"phase\":\"finished\".*\"evaluated\":24,"'
check "the token is not in the store" absent "$token" run/store.sqlite run/evolve.txt run/hyp_evolved.yaml

# ---- a failure ----

coordinate crashed $warm_task --local-workers 1 --generations 1 --epochs 100000
trainer_lives() { trainer=$(ours | while read -r pid; do grep -qz candidate-fd "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"; done | head -n 1); [ -n "$trainer" ]; }
check "a trainer is at work" wait_for 60 trainer_lives
check "its progress is seen" wait_for 120 answers crashed /api/state '"steps":2'
kill9 "$trainer"
check "its violent end is told as a failure" wait_for 120 answers crashed /api/trials '"failures":[{"attempt":1,'
check "with a reason" grep -q -F '"reason":"crash"' answer
check "and the second attempt is under way, or done" wait_for 120 answers crashed /api/trials '"attempts":2'
is_status "its log is not for everyone" 401 crashed "/api/log?candidate=1&attempt=1"
kill -INT "$coordinator"
finish "$coordinator"

# ---- the same address again ----

coordinate again $warm_task --generations 3
wait_for 60 serving again
before=$(url_of again)
kill -INT "$coordinator"
finish "$coordinator"
coordinate again
first=$coordinator
wait_for 60 serving again
check "a coordinator that is started again has the same address" test "$(url_of again)" = "$before"
port=$(base_of again | sed 's/.*://')
refuse "a port that is taken is refused when it was asked for" "$port" -- \
    "$programs/coordinator" --run taken $warm_task --dashboard "$port"
mkdir other
echo "$before" >other/dashboard.url
coordinate other $warm_task --generations 3
check "and another is found when it was not" wait_for 60 listening other.log
check "which is served as well" serving other
check "beside the first" test "$(base_of other)" != "$(base_of again)"
kill -INT "$coordinator" "$first"
finish "$coordinator"
finish "$first"

# ---- options ----

coordinate silent $warm_task --no-dashboard
check "without a dashboard there is none" wait_for 60 listening silent.log
check "nor an address" test ! -e silent/dashboard.url
kill -INT "$coordinator"
finish "$coordinator"
refuse "an address that is none is refused" "--dashboard here:there" "[ADDRESS:]PORT" -- \
    "$programs/coordinator" --run nowhere $warm_task --dashboard here:there
check "before anything is made" test ! -e nowhere
coordinate open $warm_task --dashboard 0.0.0.0:0
check "a public one is served" wait_for 60 listening open.log
says "with a warning" open.log "warning:" "other machines"
kill -INT "$coordinator"
finish "$coordinator"
check "no process is left" wait_for 20 none_left
theme_end
