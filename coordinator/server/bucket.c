/* bucket.c - the run's rows, shared through its bucket. */
#include <string.h>

#include "common/log.h"
#include "coordinator/server/inner.h"

status server_share_create(server *s)
{
    const run *r = s->run;
    if (!r->bucket || !*r->bucket) return OK;
    TRY(merge_create(&s->merge));
    return bucket_create(r->bucket, r->folder, &s->bucket);
}

void server_share_destroy(server *s)
{
    bucket_destroy(&s->bucket);
    merge_destroy(&s->merge);
}

void server_share_due(server *s)
{
    if (s->bucket) bucket_due(s->bucket);
}

/* What was taken in is not there: the next round fetches it again. */
void server_share_forget(server *s)
{
    if (!s->bucket) return;
    merge_forget(s->merge);
    if (!s->merged) return;
    s->merged = 0;
    FAIL(ERR_NO_SPACE, "what it has cannot be taken in");
    bucket_refuse(s->bucket, s->now_ms);
}

bool server_shares(const server *s)
{
    return s->bucket && !bucket_settled(s->bucket);
}

/* Rows that others have put there breed here from now on. */
static status take_in(server *s, const char *path)
{
    population fresh;
    population_start(&fresh, &s->run->spec.space, s->run->spec.fitness);
    status result = merge_read(s->merge, ledger_population(s->run->ledger), path, &fresh);
    if (result == OK && fresh.count) {
        log_info("%zu new row%s in the bucket", fresh.count, fresh.count == 1 ? "" : "s");
        result = ledger_merge(s->run->ledger, &fresh, s->wall_ms);
        s->report_due = true;
    }
    population_free(&fresh);
    return result;
}

/* Only when the files have what was fetched may they take its place. */
static void share_when_written(server *s)
{
    size_t members = ledger_population(s->run->ledger)->count;
    if (!s->merged || s->report_due) return;
    if (s->merged > members) s->merged = members;
    if (reporter_written(s->reporter) < s->merged) return;
    s->merged = 0;
    bucket_share(s->bucket, s->now_ms);
}

status server_share(server *s)
{
    if (!s->bucket || s->full) return OK;
    share_when_written(s);
    if (bucket_follow(s->bucket, s->now_ms) != BUCKET_FETCHED) return OK;
    const char *path = bucket_fetched(s->bucket);
    status result = path ? take_in(s, path) : OK;
    if (result == ERR_FORMAT || result == ERR_NOT_FINITE || result == ERR_RANGE) { /* not ours to replace */
        bucket_refuse(s->bucket, s->now_ms);
        return OK;
    }
    TRY(result);
    s->merged = ledger_population(s->run->ledger)->count;
    if (!s->merged) bucket_share(s->bucket, s->now_ms); /* nothing here, nothing there */
    return OK;
}
