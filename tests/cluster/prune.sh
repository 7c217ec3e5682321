# Candidates that are stopped when they fall behind: `--prune`. See run.sh.
. "$(dirname "$0")/lib.sh"

# ---- looking changes nothing ----

# Four epochs: warm-up, validations, averages, pictures drawn by their classes.
same="$warm_task --epochs 4 --generations 4 --local-workers 1"
for kind in "" --image-weights; do
    coordinate plain$kind $same $kind
    finish $coordinator
    coordinate looking$kind $same $kind --prune median --prune-least 1000
    finish $coordinator
    check "candidates that are looked at end as others do $kind" cmp plain$kind/evolve.txt looking$kind/evolve.txt
    check "... to the last digit" [ "$(select_from plain$kind "select results from candidates order by number")" = \
        "$(select_from looking$kind "select results from candidates order by number")" ]
    check "... and were looked at after each epoch" yields looking$kind "select count(*) from looks" 16
done
complete "looked at" looking 4
check "others are not looked at" yields plain "select count(*) from looks" 0
refuse "to prune is part of the run" "prune is 'median'" -- "$programs/coordinator" --run plain $same --prune median

# ---- who falls behind is stopped ----

# A trainer that knows by itself who is to be stopped: after its second epoch of four it compares itself with all before it. One who is
# below their median waits for SIGTERM, and fails if it never comes; the others go on.
cat >curve.sh <<'E'
#!/bin/sh
own=$(awk '$1 == "x:" { print 1 - ($2 < 0 ? -$2 : $2) / 10 }' "$MENDEL_HYP")
trap 'echo "$own" >>terminated; exit 0' TERM
echo "$own" >>"$MENDEL_RESULTS"
echo "$own" >>"$MENDEL_RESULTS"
behind=$([ ! -e seen ] || sort -n seen | awk -v own="$own" '{ v[NR] = $1 } END { print (NR >= 3 && own < (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2)) }')
echo "$own" >>seen
if [ "$behind" = 1 ]; then
    echo "$own" >>expected
    turns=0
    while [ $turns -lt 1200 ]; do sleep 0.05; turns=$((turns + 1)); done
    exit 1
fi
echo "$own" >>"$MENDEL_RESULTS"
echo "$own" >>"$MENDEL_RESULTS"
E
chmod +x curve.sh
printf 'x: {gain: 1, low: -5, high: 5, start: 2}\n' >space.yaml
: >terminated; : >expected
coordinate pruned --trainer ./curve.sh --meta space.yaml --strategy random --epochs 4 --generations 12 --local-workers 1 \
    --prune median --prune-least 3 --prune-warmup 0.5 --heartbeat 0.5 --lease $lease
finish $coordinator 120
check "with --prune median a run ends" [ $code -eq 0 ]
check "... some were stopped" [ -s terminated ]
check "... those that are below the median of the others" cmp expected terminated
stopped=$(wc -l <terminated)
check "... they count as evaluated" yields pruned "select count(*) from candidates where state in ('done', 'stopped')" 12
check "... keep what they had" yields pruned \
    "select count(*) from candidates where state = 'stopped' and epoch = 2 and abs(results ->> 3 - (1 - abs(hyps ->> 'x') / 10)) < 1e-5" "$stopped"
check "... are not in evolve.txt" [ "$(wc -l <pruned/evolve.txt)" -eq $((12 - stopped)) ]
check "... and every child can be bred again" verifies pruned
says "... the log says why" pruned.log "is stopped: fitness" "after epoch 2 of 4 is below the median of" "others"
"$programs/coordinator" status --run pruned >output 2>&1
says "... and status how many" output "12 of 12 evaluated, $stopped of them stopped early"

coordinate pruned --trainer ./curve.sh --generations 18 --local-workers 1
finish $coordinator 120
check "a run that is extended knows those before" cmp expected terminated
check "... all of them" yields pruned "select count(distinct candidate) from looks where epoch = 1" 18
check "... and ends with its number" yields pruned "select count(*) from candidates where state in ('done', 'stopped')" 18

# Mendel's own trainer: who is stopped depends on how fast messages are; what follows does not.
coordinate own $warm_task --epochs 6 --generations 6 --local-workers 2 --prune median --prune-least 1 --prune-warmup 0 --test-every 1
finish $coordinator 120
check "Mendel's own trainer: the run ends" [ $code -eq 0 ]
check "... with its number" yields own "select count(*) from candidates where state in ('done', 'stopped')" 6
check "... those that were stopped keep their last look" yields own \
    "select count(*) from candidates c where state = 'stopped' and not exists (select * from looks l where l.candidate = c.number and
        abs(l.fitness - (0.1 * (c.results ->> 2) + 0.9 * (c.results ->> 3))) < 1e-9 and l.epoch <= c.epoch)" 0
check "... the first is not among them" yields own "select state from candidates where number = 1" "done"
check "... and every child can be bred again" verifies own

# ---- confirmations are not stopped ----

start confirm.log "$programs/coordinator" confirm --run pruned --trainer "$here/../../examples/trainers/sphere.sh" --local-workers 1 --top 2 --seeds 1
finish $started
check "confirmations are trained to their end" yields pruned/confirm "select count(*) from candidates where state = 'done'" 3

theme_end
