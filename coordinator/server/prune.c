/* prune.c - candidates that are looked at on their way, and stopped when they fall behind. */
#include <math.h>

#include "common/log.h"
#include "coordinator/server/inner.h"

static status remember(void *state, int64_t candidate, int64_t epoch, double fitness)
{
    return pruning_tell(state, candidate, epoch, fitness);
}

status server_prune_create(server *s)
{
    const prune_options *o = &s->run->spec.prune;
    if (!prune_active(o)) return OK;
    TRY(pruning_create(o, &s->pruning));
    return store_each_look(s->run->store, remember, s->pruning);
}

/* The run's own fitness of what a worker says it had. False: it makes no sense. */
static bool read_fitness(const run_spec *spec, const Mendel__Progress *p, double *out)
{
    static const char *const keys[FITNESS_TERMS] = {"precision", "recall", "map50", "map"};
    double results[FITNESS_TERMS];
    metrics m;
    if (map_unpack_metrics(p->metrics.data, p->metrics.len, &m) != OK) return false;
    for (int i = 0; i < FITNESS_TERMS; i++) {
        results[i] = metrics_get(&m, keys[i]);
        if (!(results[i] >= 0 && results[i] <= 1)) return false;
    }
    *out = fitness(results, spec->fitness);
    return isfinite(*out);
}

/* Is it one of those that everybody is looked at after? */
static bool is_due(const run_spec *spec, int64_t epoch)
{
    int64_t every = spec->train.test_every;
    if (epoch >= spec->train.epochs) return false;
    return spec->external || (every && (epoch + 1) % every == 0);
}

/* A Stop that is lost on the way is decided again after the next look. */
status server_look(server *s, session *from, const Mendel__Progress *p)
{
    const run_spec *spec = &s->run->spec;
    token t = token_read(p->token);
    const store_attempt *a = server_attempt_of(s, from, t);
    double had;
    text why = {0};
    if (!s->pruning || s->full || !a || a->state != ATTEMPT_LEASED) return OK;
    if (!is_due(spec, p->epoch) || !read_fitness(spec, p, &had)) return OK;
    bool behind = pruning_stops(s->pruning, t.candidate, p->epoch, spec->train.epochs, had, &why);
    status result = pruning_tell(s->pruning, t.candidate, p->epoch, had);
    if (result == OK) result = store_put_look(s->run->store, t.candidate, p->epoch, had);
    if (result == OK && behind) {
        if (server_may_tell(s)) log_info("candidate %lld is stopped: %s", (long long)t.candidate, text_string(&why));
        result = server_stop(s, from, t, text_string(&why), false);
    }
    text_free(&why);
    return result;
}
