/* blobs.c: files that arrive in pieces, and where they are kept. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/text.h"
#include "coordinator/server/blobs.h"

static int make_folder(void **state)
{
    char template[] = "/tmp/mendel-blobs-XXXXXX";
    *state = mkdtemp(template) ? text_copy(template) : NULL;
    return !*state;
}

static int remove_folder(void **state)
{
    status s = fs_remove(*state);
    free(*state);
    return s == OK ? 0 : 1;
}

/* ---- a file on its way ---- */

static const char contents[] = "what a detector has learnt in a night";
enum { BYTES = sizeof contents - 1 };

typedef struct arrival {
    blob_request request;
    char *path;
    char hash[FS_HASH_ROOM];
    blob *blob;
} arrival;

static arrival expect_file(const char *folder)
{
    arrival a = {.path = blobs_weights_path(folder, 7)};
    fs_hash_bytes(contents, BYTES, a.hash);
    a.request = (blob_request){folder, a.path, {7, 1, 1}, NULL, BYTES};
    return a;
}

static status start(arrival *a)
{
    a->request.hash = a->hash;
    return blob_start(&a->request, &a->blob);
}

static void leave(arrival *a)
{
    blob_destroy(&a->blob, true);
    free(a->path);
}

static status finish(blob *b)
{
    int64_t ends = clock_ms() + 10000;
    status s;
    while ((s = blob_finished(b)) == ERR_TIMEOUT) {
        if (clock_ms() > ends) fail_msg("it does not finish");
        clock_sleep_ms(1);
    }
    return s;
}

static size_t count_in(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    fs_names names = {0};
    size_t count = fs_is_folder(path) && fs_list(path, &names) == OK ? names.count : 0;
    fs_names_free(&names);
    free(path);
    return count;
}

static void expect_contents(const char *path)
{
    char *bytes;
    size_t count;
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    assert_int_equal(count, BYTES);
    assert_memory_equal(bytes, contents, BYTES);
    free(bytes);
}

static void a_file_comes_in_pieces(void **state)
{
    arrival a = expect_file(*state);
    assert_int_equal(start(&a), OK);
    for (size_t at = 0; at < BYTES; at += 10) {
        assert_int_equal(blob_offset(a.blob), at);
        assert_int_equal(blob_finished(a.blob), ERR_TIMEOUT);
        assert_false(fs_exists(a.path)); /* not before it is whole */
        assert_int_equal(blob_take(a.blob, contents + at, at + 10 < BYTES ? 10 : BYTES - at), OK);
    }
    assert_int_equal(blob_offset(a.blob), BYTES);
    assert_int_equal(finish(a.blob), OK);
    expect_contents(a.path);
    leave(&a);
    assert_int_equal(count_in(*state, "parts"), 0);
}

static void what_has_come_is_not_asked_for_again(void **state)
{
    arrival a = expect_file(*state);
    assert_int_equal(start(&a), OK);
    assert_int_equal(blob_take(a.blob, contents, 12), OK);
    blob_destroy(&a.blob, false);
    assert_int_equal(count_in(*state, "parts"), 1);
    assert_int_equal(start(&a), OK);
    assert_int_equal(blob_offset(a.blob), 12);
    assert_int_equal(blob_take(a.blob, contents + 12, BYTES - 12), OK);
    assert_int_equal(finish(a.blob), OK);
    expect_contents(a.path);
    leave(&a);
}

/* Killed between the last piece and its name. */
static void one_that_was_complete_is_put_in_its_place(void **state)
{
    text part = {0};
    arrival a = expect_file(*state);
    text_add(&part, "%s/parts", (char *)*state);
    assert_int_equal(fs_make_folders(part.bytes, 0700), OK);
    text_add(&part, "/7-1-%s.part", a.hash);
    assert_int_equal(fs_write(part.bytes, contents, BYTES), OK);
    assert_int_equal(start(&a), OK);
    assert_int_equal(blob_offset(a.blob), BYTES);
    assert_int_equal(finish(a.blob), OK);
    expect_contents(a.path);
    leave(&a);
    text_free(&part);
}

static void another_file_is_not_taken(void **state)
{
    arrival a = expect_file(*state);
    a.hash[0] = a.hash[0] == '0' ? '1' : '0';
    assert_int_equal(start(&a), OK);
    assert_int_equal(blob_take(a.blob, contents, BYTES), OK);
    assert_int_equal(finish(a.blob), ERR_FORMAT);
    blob_destroy(&a.blob, false);
    assert_false(fs_exists(a.path));
    assert_int_equal(count_in(*state, "parts"), 0);
    assert_int_equal(start(&a), OK);
    assert_int_equal(blob_offset(a.blob), 0); /* anew */
    assert_int_equal(blob_take(a.blob, contents, BYTES - 1), OK);
    assert_int_equal(blob_take(a.blob, "more", 4), ERR_PROTOCOL);
    leave(&a);
    assert_int_equal(count_in(*state, "parts"), 0);
}

static void a_larger_file_than_the_disk_has_room_for_is_not_begun(void **state)
{
    arrival a = expect_file(*state);
    a.request.bytes = INT64_MAX / 4;
    assert_int_equal(start(&a), ERR_NO_SPACE);
    assert_null(a.blob);
    assert_int_equal(count_in(*state, "parts"), 0);
    leave(&a);
}

static void an_old_file_stays_until_a_new_one_is_there(void **state)
{
    arrival a = expect_file(*state);
    char *folder = path_folder(a.path);
    assert_int_equal(fs_make_folders(folder, 0777), OK);
    assert_int_equal(fs_write(a.path, "old", 3), OK);
    assert_int_equal(start(&a), OK);
    assert_int_equal(blob_take(a.blob, contents, BYTES - 1), OK);
    char *bytes;
    size_t count;
    assert_int_equal(fs_read(a.path, 0, &bytes, &count), OK);
    assert_string_equal(bytes, "old");
    assert_int_equal(blob_take(a.blob, contents + BYTES - 1, 1), OK);
    assert_int_equal(finish(a.blob), OK);
    expect_contents(a.path);
    leave(&a);
    free(bytes);
    free(folder);
}

static void parts_can_be_dropped(void **state)
{
    arrival a = expect_file(*state);
    assert_int_equal(start(&a), OK);
    assert_int_equal(blob_take(a.blob, contents, 1), OK);
    blob_destroy(&a.blob, false);
    blobs_drop_parts(*state);
    blobs_drop_parts(*state);
    assert_int_equal(count_in(*state, "parts"), 0);
    leave(&a);
}

/* ---- what is kept ---- */

static void write_weights(const char *folder, int64_t candidate)
{
    char *path = blobs_weights_path(folder, candidate), *parent = path_folder(path);
    assert_int_equal(fs_make_folders(parent, 0777), OK);
    assert_int_equal(fs_write(path, contents, BYTES), OK);
    free(parent);
    free(path);
}

static void best_is_a_link(void **state)
{
    char *link = path_join(*state, "weights/best.pt"), target[64] = "";
    assert_int_equal(blobs_best(*state), 0);
    write_weights(*state, 7);
    assert_int_equal(blobs_set_best(*state, 7), OK);
    assert_int_equal(blobs_best(*state), 7);
    write_weights(*state, 12);
    assert_int_equal(blobs_set_best(*state, 12), OK);
    assert_int_equal(blobs_best(*state), 12);
    assert_int_equal(readlink(link, target, sizeof target - 1), strlen("candidate_12.pt"));
    assert_string_equal(target, "candidate_12.pt");
    expect_contents(link);
    char *path = blobs_weights_path(*state, 12);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(blobs_best(*state), 0); /* it leads nowhere */
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("../../etc/passwd", link), 0);
    assert_int_equal(blobs_best(*state), 0); /* nor is this one of ours */
    free(path);
    free(link);
}

static bool is_needed(void *state, int64_t candidate, const char *hash)
{
    const char *needed = state;
    return candidate == 2 && !strcmp(hash, needed);
}

static void needless_checkpoints_are_swept_away(void **state)
{
    static const char kept[] = "00000000000000000000000000000002", other[] = "00000000000000000000000000000003";
    char *paths[] = {blobs_checkpoint_path(*state, 2, kept), blobs_checkpoint_path(*state, 2, other),
                     blobs_checkpoint_path(*state, 3, kept), path_join(*state, "checkpoints/notes.txt")};
    char *folder = path_folder(paths[0]);
    blobs_sweep_checkpoints(*state, is_needed, (void *)kept); /* there is no such folder yet */
    assert_int_equal(blobs_checkpoint_bytes(*state), 0);
    assert_int_equal(fs_make_folders(folder, 0777), OK);
    for (int i = 0; i < 4; i++) assert_int_equal(fs_write(paths[i], contents, BYTES), OK);
    assert_int_equal(blobs_checkpoint_bytes(*state), 4 * BYTES);
    blobs_sweep_checkpoints(*state, is_needed, (void *)kept);
    assert_true(fs_is_file(paths[0]) && fs_is_file(paths[3])); /* what is not ours stays */
    assert_false(fs_exists(paths[1]) || fs_exists(paths[2]));
    for (int i = 0; i < 4; i++) free(paths[i]);
    free(folder);
}

/* ---- a disk that fills up ---- */

static void fill_the_disk(const char *folder)
{
    arrival a = expect_file(folder);
    static char piece[1 << 20];
    a.request.bytes = 70 << 20; /* there seems to be room for it, with what has to be left */
    assert_int_equal(start(&a), OK);
    char *filler = path_join(folder, "filler");
    int file = open(filler, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(posix_fallocate(file, 0, 100 << 20), 0);
    close(file);
    status s = OK;
    while (s == OK && blob_offset(a.blob) < a.request.bytes) s = blob_take(a.blob, piece, sizeof piece);
    assert_int_equal(s, ERR_NO_SPACE);
    blob_destroy(&a.blob, true);
    assert_int_equal(count_in(folder, "parts"), 0);
    assert_false(fs_exists(a.path));
    assert_int_equal(start(&a), ERR_NO_SPACE);
    free(filler);
    leave(&a);
}

/* In a process of its own, since it gets a file system of its own. */
static void a_full_disk_leaves_nothing_behind(void **state)
{
    enum { NOT_ALLOWED = 77 };
    pid_t child = fork();
    if (child == 0) {
        bool mounted = !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
                       !mount("none", *state, "tmpfs", 0, "size=140m");
        if (!mounted) _exit(NOT_ALLOWED);
        fill_the_disk(*state);
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_file_comes_in_pieces),
        CASE(what_has_come_is_not_asked_for_again),
        CASE(one_that_was_complete_is_put_in_its_place),
        CASE(another_file_is_not_taken),
        CASE(a_larger_file_than_the_disk_has_room_for_is_not_begun),
        CASE(an_old_file_stays_until_a_new_one_is_there),
        CASE(parts_can_be_dropped),
        CASE(best_is_a_link),
        CASE(needless_checkpoints_are_swept_away),
        CASE(a_full_disk_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
