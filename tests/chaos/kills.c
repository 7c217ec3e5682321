/* Kill -9 at every place: which ones, in which start of whom, and what has to go on around it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/chaos/kinds.h"

/* Kills of one run: of the coordinator, and of each of two workers. */
enum { OF_COORDINATOR = 3, OF_WORKER = 2, WORKERS = 2, CANDIDATES_A_KILL = 4, CANDIDATES_LEAST = 10 };

/* ---- planning ---- */

static bool is_of_coordinator(size_t i)
{
    return text_starts_with(places[i].name, "coordinator");
}

static bool is_once_a_start(const char *name)
{
    static const char *const once[] = {"opens", "opened", "listens", "farewell", "compared",
                                       "ends",  "misses", "finds",   "told"};
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        if (strstr(name, once[i])) return true;
    return false;
}

/* What only a coordinator says that was started again. */
static bool needs_restart(size_t i)
{
    return is_of_coordinator(i) && strstr(places[i].name, "HelloAgain");
}

/* The place of this side that was hit least, by chance among equals; only what happens with `with` going on. PLACES: none. */
static size_t choose(const tally *t, keyed_rng *draw, bool coordinator, bool first, int with)
{
    size_t best = PLACES;
    long fewest = 0;
    uint64_t equals = 0;
    for (size_t i = 0; i < PLACES; i++) {
        long hits = t->kills[i] + t->planned[i] / 2; /* not every plan comes to its place */
        if (is_of_coordinator(i) != coordinator || (places[i].with & ~with) || (first && needs_restart(i))) continue;
        if (best < PLACES && hits > fewest) continue;
        if (best == PLACES || hits < fewest) equals = 0;
        fewest = hits;
        if (keyed_below(draw, ++equals) == 0) best = i;
    }
    return best;
}

/* What goes on: what the places that were hit least need. */
static int choose_with(const tally *t, keyed_rng *draw)
{
    static const int all = WITH_FAILURES | WITH_LEAVING | WITH_FROST | WITH_STRANGER | WITH_FILES | WITH_FULL;
    size_t of_coordinator = choose(t, draw, true, false, all), of_worker = choose(t, draw, false, false, all);
    return places[of_coordinator].with | places[of_worker].with;
}

static void add_kill(tally *t, keyed_rng *draw, const char *actor, size_t place, text *plan)
{
    long hits = t->kills[place] + t->planned[place];
    bool rare = places[place].with || is_once_a_start(places[place].name);
    int n = rare || hits == 0 ? 1 : (int)(1 + keyed_below(draw, 3));
    text_add(plan, "%s%s|%s|%d", plan->length ? "," : "", actor, places[place].name, n);
    t->planned[place]++;
}

status kills_plan(tally *t, keyed_rng *draw, int number, text *plan)
{
    (void)number;
    int with = choose_with(t, draw);
    for (int i = 0; i < OF_COORDINATOR; i++)
        add_kill(t, draw, "coordinator", choose(t, draw, true, i == 0, with), plan);
    for (int i = 0; i < OF_WORKER * WORKERS; i++) {
        size_t place = choose(t, draw, false, false, with);
        char worker[16];
        /* Files are fetched by the distant one; the stranger is the one that is refused. */
        int number = places[place].with & WITH_FILES ? 1 : i % WORKERS;
        snprintf(worker, sizeof worker, "worker %d", number);
        add_kill(t, draw, places[place].with & WITH_STRANGER ? "stranger" : worker, place, plan);
    }
    return text_status(plan);
}

bool kills_are_missing(const tally *t)
{
    for (size_t i = 0; i < PLACES; i++)
        if (t->kills[i] < KILLS_LEAST) return true;
    return false;
}

/* ---- setting ---- */

static actor *find_actor(stage *s, const char *name)
{
    if (!strcmp(name, "coordinator")) return &s->coordinator;
    if (!strcmp(name, "stranger")) return &s->stranger;
    return &s->workers[strcmp(name, "worker 1") == 0];
}

static int with_of(const char *plan)
{
    int with = 0;
    for (size_t i = 0; i < PLACES; i++) {
        text inside = {0};
        text_add(&inside, "%s|", places[i].name);
        if (strstr(plan, text_string(&inside))) with |= places[i].with;
        text_free(&inside);
    }
    return with;
}

/* Some time after the start the disk is full, where that is needed. */
static status add_plan(stage *s, actor *a, const char *place)
{
    enum { STEP_LEAST = 40, STEP_MOST = 120 };
    long long step = stage_draw(s, STEP_LEAST, STEP_MOST);
    if (!(with_of(place) & WITH_FULL)) return actor_add(&a->plans, "CHAOS_KILL=%s", place);
    return actor_add(&a->plans, "CHAOS_KILL=%s\nCHAOS_DISK=%s|full|%lld", place, s->run, step);
}

status kills_set(stage *s, const char *plan)
{
    char *copy = text_copy(plan), *rest = NULL;
    if (!copy) return FAIL(ERR_MEMORY, "out of memory");
    s->with = with_of(plan) | 1 << stage_draw(s, 0, 4); /* what the places need, and something else */
    s->worker_count = WORKERS;
    /* Frozen workers come back while others train what was theirs. */
    s->training_ms = s->with & WITH_FROST ? 500 : 120;
    s->generations = CANDIDATES_LEAST;
    for (const char *c = plan; *c; c++)
        s->generations += *c == ',' ? (s->with & WITH_FROST ? CANDIDATES_A_KILL / 2 : CANDIDATES_A_KILL) : 0;
    status result = stage_set(s);
    for (char *one = strtok_r(copy, ",", &rest); result == OK && one; one = strtok_r(NULL, ",", &rest)) {
        char *place = strchr(one, '|');
        if (!place) result = FAIL(ERR_ARGUMENT, "a plan is ACTOR|PLACE|N,...: %s", plan);
        else {
            *place++ = '\0';
            result = add_plan(s, find_actor(s, one), place);
        }
    }
    free(copy);
    return result;
}
