#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/text.h"
#include "worker/spool.h"

static const wire_id run_a = {{1}}, run_b = {{2}};

static int make_folder(void **state)
{
    char *folder = strdup("/tmp/mendel-spool-XXXXXX");
    *state = folder;
    return folder && mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
    status s = fs_remove(*state);
    free(*state);
    return s == OK ? 0 : 1;
}

static spool *open_spool(const char *folder)
{
    spool *s;
    if (spool_open(folder, &s) != OK) fail_msg("%s", status_message());
    return s;
}

static envelope *make_delivery(wire_id run, int64_t candidate)
{
    Mendel__Failed failed = MENDEL__FAILED__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token t = MENDEL__TOKEN__INIT;
    wire_ids ids = {.run = run, .has_run = true};
    envelope e, *out;
    bytes packed;
    t.candidate = candidate;
    t.attempt = 1;
    failed.token = &t;
    failed.record = &record;
    failed.reason = (char *)"crash";
    wire_envelope(&e, &ids, MENDEL__ENVELOPE__BODY_FAILED, &failed);
    assert_int_equal(wire_pack(&e, &packed), OK);
    assert_int_equal(wire_unpack(packed.data, packed.count, &out), OK);
    bytes_free(&packed);
    return out;
}

static void put(spool *s, wire_id run, int64_t candidate)
{
    envelope *e = make_delivery(run, candidate);
    if (spool_put(s, &e) != OK) fail_msg("%s", status_message());
    assert_null(e);
}

static size_t files(const char *folder, const char *ending)
{
    fs_names names;
    size_t count = 0;
    assert_int_equal(fs_list(folder, &names), OK);
    for (size_t i = 0; i < names.count; i++)
        count += text_starts_with(names.names[i], "delivery-") && !strcmp(path_extension(names.names[i]), ending);
    fs_names_free(&names);
    return count;
}

/* ---- cases ---- */

static void deliveries_outlive_the_worker_in_order(void **state)
{
    spool *s = open_spool(*state);
    char id[WIRE_ID_ROOM];
    strcpy(id, spool_worker_id(s));
    for (int64_t c = 1; c <= 12; c++) put(s, c % 2 ? run_a : run_b, c);
    assert_true(spool_remove(s, &run_a, (token){3, 1, 0}));
    assert_false(spool_remove(s, &run_b, (token){3, 1, 0}));
    spool_close(&s);
    assert_null(s);
    s = open_spool(*state);
    assert_string_equal(spool_worker_id(s), id);
    assert_int_equal(spool_count(s), 11);
    assert_int_equal(spool_count_of(s, &run_a), 5);
    int64_t before = 0;
    for (size_t i = 0; i < spool_count(s); i++) {
        const delivery *d = spool_at(s, i);
        assert_true(d->token.candidate > before && d->token.candidate != 3 && d->on_disk);
        assert_true(wire_id_equal(&d->run, d->token.candidate % 2 ? &run_a : &run_b));
        assert_string_equal(d->e->failed->reason, "crash");
        before = d->token.candidate;
    }
    put(s, run_a, 13); /* behind those that were there */
    spool_close(&s);
    s = open_spool(*state);
    assert_int_equal(spool_at(s, 11)->token.candidate, 13);
    spool_close(&s);
}

static void an_attempt_has_one_delivery(void **state)
{
    spool *s = open_spool(*state);
    put(s, run_a, 1);
    put(s, run_a, 1);
    put(s, run_b, 1);
    assert_int_equal(spool_count(s), 2);
    assert_int_equal(files(*state, ""), 2);
    spool_close(&s);
}

static void damaged_files_are_set_aside(void **state)
{
    static const char *const damages[] = {"", "no line", "mendel-delivery-1 \n", "mendel-delivery-2 00 0\n",
                                          "mendel-delivery-1 00000000000000000000000000000000 3\nabc"};
    spool *s = open_spool(*state);
    put(s, run_a, 1);
    spool_close(&s);
    char *good = path_join(*state, "delivery-0000000001"), *bytes;
    size_t count;
    assert_int_equal(fs_read(good, 0, &bytes, &count), OK);
    for (size_t i = 0; i < count + sizeof damages / sizeof *damages; i++) {
        size_t kept = count;
        char *copy = malloc(count), path[256];
        assert_non_null(copy);
        memcpy(copy, bytes, count);
        if (i < count) copy[i] ^= 1; /* one bit of it */
        snprintf(path, sizeof path, "%s/delivery-%010zu", (char *)*state, i + 2);
        if (i >= count) {
            free(copy);
            copy = text_copy(damages[i - count]);
            kept = strlen(copy);
        }
        assert_int_equal(fs_write(path, copy, kept), OK);
        free(copy);
    }
    assert_int_equal(truncate(good, (off_t)count - 1), 0);
    s = open_spool(*state);
    assert_int_equal(spool_count(s), 0);
    assert_int_equal(files(*state, ""), 0);
    assert_int_equal(files(*state, ".damaged"), count + sizeof damages / sizeof *damages + 1);
    spool_close(&s);
    free(bytes);
    free(good);
}

static void a_damaged_id_is_made_anew(void **state)
{
    spool *s = open_spool(*state);
    spool_close(&s);
    char *path = path_join(*state, "worker-id");
    assert_int_equal(fs_write(path, "something", 9), OK);
    free(path);
    s = open_spool(*state);
    wire_id id;
    assert_int_equal(wire_id_parse(spool_worker_id(s), &id), OK);
    spool_close(&s);
}

static void one_worker_has_a_folder(void **state)
{
    spool *s = open_spool(*state), *second;
    assert_int_equal(spool_open(*state, &second), ERR_BUSY);
    assert_null(second);
    assert_non_null(strstr(status_message(), "is held by process"));
    spool_close(&s);
    s = open_spool(*state);
    spool_close(&s);
}

static void the_default_is_a_free_folder_with_something_to_deliver(void **state)
{
    setenv("XDG_STATE_HOME", *state, 1);
    spool *zero = open_spool(NULL), *one = open_spool(NULL), *two = open_spool(NULL);
    assert_string_equal(path_name(spool_folder(zero)), "0");
    assert_string_equal(path_name(spool_folder(one)), "1");
    assert_string_equal(path_name(spool_folder(two)), "2");
    put(one, run_a, 1);
    spool_close(&two);
    spool_close(&one);
    spool_close(&zero);
    one = open_spool(NULL);
    assert_string_equal(path_name(spool_folder(one)), "1");
    zero = open_spool(NULL);
    assert_string_equal(path_name(spool_folder(zero)), "0");
    spool_close(&one);
    spool_close(&zero);
}

/* ---- a disk that takes nothing ---- */

/* What is put while `break_it` holds stays in memory, and is written once `mend` has been called. */
static void survive(const char *folder, void (*break_it)(const char *folder), void (*mend)(const char *folder))
{
    spool *s = open_spool(folder);
    put(s, run_a, 1);
    break_it(folder);
    put(s, run_a, 2);
    put(s, run_a, 3);
    spool_retry(s);
    assert_int_equal(spool_count(s), 3);
    assert_int_equal(spool_unwritten(s), 2);
    assert_true(spool_remove(s, &run_a, (token){2, 1, 0})); /* delivered all the same */
    mend(folder);
    spool_retry(s);
    assert_int_equal(spool_unwritten(s), 0);
    spool_close(&s);
    s = open_spool(folder);
    assert_int_equal(spool_count(s), 2);
    assert_int_equal(spool_at(s, 1)->token.candidate, 3);
    assert_int_equal(files(folder, ".damaged"), 0);
    spool_close(&s);
}

static void rename_from_to(const char *folder, bool away)
{
    char other[256];
    snprintf(other, sizeof other, "%s.away", folder);
    assert_int_equal(away ? rename(folder, other) : rename(other, folder), 0);
}

static void move_away(const char *folder)
{
    rename_from_to(folder, true);
}

static void move_back(const char *folder)
{
    rename_from_to(folder, false);
}

static void opening_fails(void **state)
{
    survive(*state, move_away, move_back);
}

static void allow_few_bytes(const char *folder)
{
    (void)folder;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){20, RLIM_INFINITY}), 0);
}

static void allow_all_bytes(const char *folder)
{
    (void)folder;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}), 0);
}

static void writing_fails(void **state)
{
    survive(*state, allow_few_bytes, allow_all_bytes);
}

static void put_folders_in_the_way(const char *folder)
{
    for (int i = 2; i <= 3; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/delivery-%010d/full", folder, i);
        assert_int_equal(fs_make_folders(path, 0700), OK);
    }
}

static void take_folders_away(const char *folder)
{
    for (int i = 2; i <= 3; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/delivery-%010d", folder, i);
        assert_int_equal(fs_remove(path), OK);
    }
}

static void renaming_fails(void **state)
{
    survive(*state, put_folders_in_the_way, take_folders_away);
}

static void fill(const char *folder)
{
    char *path = path_join(folder, "filler");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    setvbuf(f, NULL, _IONBF, 0);
    while (fputc('x', f) != EOF) continue;
    fclose(f);
    free(path);
}

static void make_space(const char *folder)
{
    char *path = path_join(folder, "filler");
    unlink(path);
    free(path);
}

/* In a process of its own, since it gets a file system of its own. */
static void the_disk_is_full(void **state)
{
    enum { NOT_ALLOWED = 77 };
    pid_t child = fork();
    if (child == 0) {
        bool mounted = !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
                       !mount("none", *state, "tmpfs", 0, "size=64k");
        if (!mounted) _exit(NOT_ALLOWED);
        survive(*state, fill, make_space);
        _exit(0); /* a failed check ends the case in here with another code */
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how) && WEXITSTATUS(how) == NOT_ALLOWED) {
        printf("skipped: needs the right to mount a small file system\n");
        return;
    }
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

/* ---- files ---- */

static spool_file keep_bytes(spool *s, spool_shelf shelf, const char *contents)
{
    char *slot, *file;
    spool_file kept;
    assert_int_equal(spool_slot_folder(s, 3, &slot), OK);
    file = path_join(slot, "file.pt");
    assert_int_equal(fs_write(file, contents, strlen(contents)), OK);
    assert_int_equal(spool_keep(s, shelf, file, &kept), OK);
    assert_true(fs_is_file(kept.path) && !fs_exists(file));
    free(slot), free(file);
    return kept;
}

static void files_are_kept_by_content(void **state)
{
    spool *s = open_spool(*state);
    char *slot, want[FS_HASH_ROOM];
    spool_file kept = keep_bytes(s, SPOOL_CHECKPOINTS, "weights"), none;
    fs_hash_bytes("weights", 7, want);
    assert_string_equal(kept.hash, want);
    assert_int_equal(kept.bytes, 7);
    assert_string_equal(path_extension(kept.path), ".pt");
    assert_int_equal(spool_keep(s, SPOOL_WEIGHTS, "/nowhere/at/all", &none), ERR_NOT_FOUND);
    assert_null(none.path);
    assert_int_equal(spool_slot_folder(s, 3, &slot), OK); /* emptied */
    assert_true(fs_is_folder(slot) && fs_is_file(kept.path));
    free(slot), free(kept.path);
    spool_close(&s);
}

/* A Result or Yield of this candidate that names a file. */
static void put_with_file(spool *s, int64_t candidate, bool yields, spool_file *file)
{
    Mendel__Token t = MENDEL__TOKEN__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Result r = MENDEL__RESULT__INIT;
    Mendel__Yield y = MENDEL__YIELD__INIT;
    double results[RESULT_COUNT] = {0};
    wire_ids ids = {.has_run = true};
    envelope outer, *e;
    bytes packed;
    t.candidate = candidate;
    t.attempt = 1;
    r.token = y.token = &t;
    r.record = y.record = &record;
    r.results = results;
    r.n_results = RESULT_COUNT;
    r.weights_hash = y.checkpoint_hash = file->hash;
    r.weights_bytes = y.checkpoint_bytes = file->bytes;
    wire_envelope(&outer, &ids, yields ? MENDEL__ENVELOPE__BODY_YIELD : MENDEL__ENVELOPE__BODY_RESULT,
                  yields ? (void *)&y : (void *)&r);
    assert_int_equal(wire_pack(&outer, &packed), OK);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    assert_int_equal(spool_put(s, &e), OK);
    bytes_free(&packed);
}

static void a_file_goes_with_its_delivery(void **state)
{
    wire_id run = {{0}};
    int64_t bytes;
    char *path;
    spool *s = open_spool(*state);
    spool_file weights = keep_bytes(s, SPOOL_WEIGHTS, "weights"), same = keep_bytes(s, SPOOL_WEIGHTS, "weights"),
               lost = keep_bytes(s, SPOOL_WEIGHTS, "of nobody"), saved = keep_bytes(s, SPOOL_CHECKPOINTS, "saved"),
               read = keep_bytes(s, SPOOL_CHECKPOINTS, "read by another");
    put_with_file(s, 1, false, &weights);
    put_with_file(s, 2, false, &same);
    put_with_file(s, 3, true, &saved);
    put_with_file(s, 4, true, &read);
    spool_close(&s);
    s = open_spool(*state);
    assert_false(fs_exists(lost.path)); /* no delivery names it */
    assert_true(fs_is_file(weights.path) && fs_is_file(saved.path));
    assert_null(spool_find_file(s, &run, lost.hash));
    assert_null(spool_find_file(s, &run, ""));
    assert_int_equal(spool_find_file(s, &run, saved.hash)->token.candidate, 3);
    assert_true(spool_file_of(s, spool_find_file(s, &run, saved.hash), &bytes, &path));
    assert_string_equal(path, saved.path);
    assert_int_equal(bytes, 5);
    assert_true(spool_remove(s, &run, (token){1, 1, 0}));
    assert_true(fs_is_file(weights.path)); /* the same as candidate 2 has */
    assert_true(spool_remove(s, &run, (token){2, 1, 0}));
    assert_false(fs_exists(weights.path));
    assert_true(spool_hand_over(s, &run, (token){3, 1, 0}));
    assert_false(fs_exists(saved.path));
    assert_true(spool_remove(s, &run, (token){4, 1, 0}));
    assert_true(fs_is_file(read.path)); /* somebody may have been told of it */
    free(weights.path), free(same.path), free(lost.path), free(saved.path), free(read.path), free(path);
    spool_close(&s);
}

static void too_many_weights_are_left_where_they_are(void **state)
{
    spool *s = open_spool(*state);
    spool_file kept;
    char *slot, *file;
    for (int i = 1; i <= 32; i++) {
        char contents[16];
        snprintf(contents, sizeof contents, "weights %d", i);
        kept = keep_bytes(s, SPOOL_WEIGHTS, contents);
        put_with_file(s, i, false, &kept);
        free(kept.path);
    }
    assert_int_equal(spool_slot_folder(s, 0, &slot), OK);
    file = path_join(slot, "file.pt");
    assert_int_equal(fs_write(file, "more", 4), OK);
    assert_int_equal(spool_keep(s, SPOOL_WEIGHTS, file, &kept), ERR_BUSY);
    assert_true(fs_is_file(file) && !kept.path);
    assert_int_equal(spool_keep(s, SPOOL_CHECKPOINTS, file, &kept), OK);
    free(slot), free(file), free(kept.path);
    spool_close(&s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(deliveries_outlive_the_worker_in_order),
        CASE(an_attempt_has_one_delivery),
        CASE(damaged_files_are_set_aside),
        CASE(a_damaged_id_is_made_anew),
        CASE(one_worker_has_a_folder),
        CASE(the_default_is_a_free_folder_with_something_to_deliver),
        CASE(opening_fails),
        CASE(writing_fails),
        CASE(renaming_fails),
        CASE(the_disk_is_full),
        CASE(files_are_kept_by_content),
        CASE(a_file_goes_with_its_delivery),
        CASE(too_many_weights_are_left_where_they_are),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
