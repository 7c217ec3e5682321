/* A worker's spool on a disk that fails at its n-th step, for all n: what was on the disk stays, whatever happens next. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "tests/chaos/layer/disk.h"
#include "worker/spool.h"

enum { DELIVERIES = 4, SHORT_LOG = 1, LONG_LOG = 100, STEPS_LEAST = 20, STEPS_MOST = 200 };
static const wire_id run = {{7}};

/* What a worker that ended, or was ended, had told. */
typedef struct told {
    int count;                               /* steps of its life that it came through */
    bool kept[DELIVERIES], gone[DELIVERIES]; /* on the disk; forgotten, or about to be */
    char id[WIRE_ID_ROOM];
    long steps;
} told;

static int set_up(void **state)
{
    char *folder = strdup("/tmp/spool_faults_XXXXXX");
    *state = folder;
    log_set_level(LEVEL_SILENT);
    return folder && mkdtemp(folder) ? 0 : 1;
}

static int tear_down(void **state)
{
    status s = fs_remove(*state);
    free(*state);
    return s == OK ? 0 : 1;
}

/* Some fill a sector, some many. */
static envelope *make_delivery(int64_t candidate)
{
    Mendel__Failed failed = MENDEL__FAILED__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token t = MENDEL__TOKEN__INIT;
    wire_ids ids = {.run = run, .has_run = true};
    char *lines[LONG_LOG];
    envelope e, *out;
    bytes packed;
    t.candidate = candidate;
    t.attempt = 1;
    failed.token = &t;
    failed.record = &record;
    failed.reason = (char *)"crash";
    failed.log = lines;
    failed.n_log = candidate % 2 ? LONG_LOG : SHORT_LOG;
    for (size_t i = 0; i < failed.n_log; i++)
        lines[i] = (char *)"a line of some trainer's log that says what it was about";
    wire_envelope(&e, &ids, MENDEL__ENVELOPE__BODY_FAILED, &failed);
    if (wire_pack(&e, &packed) != OK || wire_unpack(packed.data, packed.count, &out) != OK) abort();
    bytes_free(&packed);
    return out;
}

static void tell(int pipe, told *t)
{
    t->count++;
    t->steps = disk_steps();
    if (write(pipe, t, sizeof *t) != sizeof *t) _exit(3);
}

static void look(spool *s, told *t)
{
    for (size_t i = 0; i < spool_count(s); i++) {
        const delivery *d = spool_at(s, i);
        if (d->on_disk) t->kept[d->token.candidate - 1] = true;
    }
}

/* A life: put, acknowledged, put, retried. Tells before it lets anything go, and after something is on the disk. */
static void live(const char *folder, int pipe)
{
    told t = {0};
    spool *s;
    if (spool_open(folder, &s) != OK) _exit(0);
    strcpy(t.id, spool_worker_id(s));
    tell(pipe, &t);
    for (int64_t c = 1; c <= DELIVERIES; c++) {
        envelope *e = make_delivery(c);
        if (spool_put(s, &e) != OK) _exit(4);
        look(s, &t);
        tell(pipe, &t);
        if (c != 2) continue;
        t.gone[0] = true;
        tell(pipe, &t);
        spool_remove(s, &run, (token){1, 1, 0});
        tell(pipe, &t);
    }
    spool_retry(s);
    look(s, &t);
    tell(pipe, &t);
    spool_close(&s);
    _exit(0);
}

/* The last thing that it told. */
static told let_live(const char *folder, disk_fault fault, long at)
{
    int pipes[2], how;
    told last = {0}, next;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        disk_set(folder, fault, at);
        live(folder, pipes[1]);
    }
    close(pipes[1]);
    while (read(pipes[0], &next, sizeof next) == sizeof next) last = next;
    close(pipes[0]);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) ? WTERMSIG(how) == SIGKILL : WEXITSTATUS(how) == 0);
    return last;
}

static size_t count_damaged(const char *folder)
{
    fs_names names;
    size_t count = 0;
    assert_int_equal(fs_list(folder, &names), OK);
    for (size_t i = 0; i < names.count; i++) count += text_ends_with(names.names[i], ".damaged");
    fs_names_free(&names);
    return count;
}

static void look_again(const char *folder, const told *t, disk_fault fault, long at)
{
    spool *s;
    if (spool_open(folder, &s) != OK) fail_msg("fault %d, step %ld: %s", fault, at, status_message());
    if (*t->id && strcmp(t->id, spool_worker_id(s))) fail_msg("fault %d, step %ld: another worker's id", fault, at);
    for (int i = 0; i < DELIVERIES; i++) {
        const delivery *d = spool_find(s, &run, (token){i + 1, 1, 0});
        if (t->kept[i] && !t->gone[i] && !d) fail_msg("fault %d, step %ld: delivery %d is lost", fault, at, i + 1);
        if (d) assert_int_equal(d->e->failed->n_log, i % 2 ? SHORT_LOG : LONG_LOG);
    }
    if (count_damaged(folder)) fail_msg("fault %d, step %ld: a damaged delivery", fault, at);
    spool_close(&s);
}

static long steps_of_a_life(const char *folder)
{
    told t = let_live(folder, DISK_FINE, 0);
    assert_true(t.kept[DELIVERIES - 1]);
    assert_in_range(t.steps, STEPS_LEAST, STEPS_MOST);
    return t.steps;
}

static void what_is_on_the_disk_stays(void **state)
{
    char *folder = path_real(*state), *of_spool = path_join(folder, "spool");
    long steps = steps_of_a_life(of_spool);
    for (disk_fault fault = DISK_EIO; fault < DISK_FAULTS; fault++)
        for (long at = 1; at <= steps; at++) {
            assert_int_equal(fs_remove(of_spool), OK);
            told t = let_live(of_spool, fault, at);
            look_again(of_spool, &t, fault, at);
        }
    free(of_spool);
    free(folder);
}

/* The disk does forget: a file that was written and renamed is not there before its folder is synced. */
static void a_name_that_is_not_synced_is_forgotten(void **state)
{
    enum { SYNC_OF_FOLDER = 5 }; /* after its creation, the write, the sync of the file, the rename */
    char *folder = path_real(*state), *path = path_join(folder, "file");
    for (long at = SYNC_OF_FOLDER; at <= SYNC_OF_FOLDER + 1; at++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            disk_set(folder, DISK_NONE, at);
            _exit(fs_write(path, "new", 3) == OK ? 0 : 1);
        }
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_int_equal(WIFSIGNALED(how), at == SYNC_OF_FOLDER);
        assert_int_equal(fs_exists(path), at > SYNC_OF_FOLDER);
    }
    free(path);
    free(folder);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest cases[] = {CASE(what_is_on_the_disk_stays), CASE(a_name_that_is_not_synced_is_forgotten)};
    return cmocka_run_group_tests(cases, NULL, NULL);
}
