#include <setjmp.h>
#include <signal.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/shelf.h"
#include "common/text.h"

enum { BYTES = 10000 };
static char *root;

static int make_root(void **state)
{
    (void)state;
    root = strdup("/tmp/mendel-shelf-XXXXXX");
    return root && mkdtemp(root) ? 0 : 1;
}

static int remove_root(void **state)
{
    (void)state;
    status s = fs_remove(root);
    free(root);
    return s == OK ? 0 : 1;
}

static shelf *hold(void)
{
    shelf *s;
    if (shelf_hold(root, &s) != OK) fail_msg("%s", status_message());
    return s;
}

static shelf_piece make(shelf *s, const char *name)
{
    shelf_piece p;
    if (shelf_make(s, name, BYTES, &p) != OK) fail_msg("%s", status_message());
    return p;
}

static size_t files_below(const char *folder)
{
    fs_names names;
    assert_int_equal(fs_list(folder, &names), OK);
    size_t count = names.count;
    fs_names_free(&names);
    return count;
}

/* root/mendel-UID-shelf, or a file in it; the caller frees. */
static char *inside(const char *name)
{
    text path = {0};
    text_add(&path, "%s/mendel-%ld-shelf%s%s", root, (long)geteuid(), *name ? "/" : "", name);
    return text_take(&path);
}

static void what_one_puts_there_the_next_finds(void **state)
{
    (void)state;
    shelf *a = hold(), *b = hold();
    shelf_piece p, q;
    assert_int_equal(shelf_find(a, "abc", BYTES, &p), ERR_NOT_FOUND);
    p = make(a, "abc");
    for (int i = 0; i < BYTES; i++) assert_int_equal(((char *)p.memory)[i], 0);
    strcpy(p.memory, "decoded");
    assert_int_equal(shelf_find(b, "abd", BYTES, &q), ERR_NOT_FOUND);
    assert_int_equal(shelf_find(b, "abc", BYTES - 1, &q), ERR_NOT_FOUND);
    shelf_give_back(&p);
    assert_null(p.memory);
    assert_int_equal(shelf_find(b, "abc", BYTES, &q), OK);
    assert_string_equal(q.memory, "decoded");
    shelf_let_go(&a);
    p = make(b, "abc"); /* who is late gets what is there */
    assert_string_equal(p.memory, "decoded");
    strcpy(q.memory, "the same");
    assert_string_equal(p.memory, "the same");
    shelf_give_back(&p);
    shelf_give_back(&q);
    shelf_let_go(&b);
}

static void the_last_to_let_go_clears_it(void **state)
{
    (void)state;
    shelf *a = hold(), *b = hold();
    shelf_piece p = make(a, "abc");
    shelf_let_go(&a);
    assert_null(a);
    assert_int_equal(files_below(root), 1);
    shelf_let_go(&b);
    assert_int_equal(files_below(root), 0);
    strcpy(p.memory, "still mine");
    shelf_give_back(&p);
    shelf_let_go(&b);
}

static void what_a_killed_process_leaves_is_cleared(void **state)
{
    (void)state;
    pid_t child = fork();
    if (!child) {
        shelf *s;
        shelf_piece p;
        if (shelf_hold(root, &s) == OK && shelf_make(s, "abc", BYTES, &p) == OK) raise(SIGKILL);
        _exit(1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    assert_int_equal(files_below(root), 1);
    shelf *s = hold();
    shelf_let_go(&s);
    assert_int_equal(files_below(root), 0);
}

/* Each of many processes adds one to a number on the shelf, and holds it until all are there. */
static void add_one(int ready, int go)
{
    shelf *s;
    shelf_piece p;
    char byte = 0;
    bool good = shelf_hold(root, &s) == OK && shelf_make(s, "number", BYTES, &p) == OK;
    if (good) atomic_fetch_add((atomic_int *)p.memory, 1);
    good = write(ready, &byte, 1) == 1 && good;
    good = read(go, &byte, 1) == 0 && good;
    if (good) shelf_let_go(&s);
    _exit(good ? 0 : 1);
}

static void processes_that_come_at_once_share_one_piece(void **state)
{
    (void)state;
    enum { PROCESSES = 12 };
    int ready[2], go[2], how;
    char byte;
    pid_t children[PROCESSES];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < PROCESSES; i++)
        if (!(children[i] = fork())) {
            close(go[1]);
            alarm(60);
            add_one(ready[1], go[0]);
        }
    for (int i = 0; i < PROCESSES; i++) assert_int_equal(read(ready[0], &byte, 1), 1);
    shelf *s = hold();
    shelf_piece p;
    assert_int_equal(shelf_find(s, "number", BYTES, &p), OK);
    assert_int_equal(*(atomic_int *)p.memory, PROCESSES);
    shelf_give_back(&p);
    shelf_let_go(&s);
    close(go[1]); /* all leave at once */
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(waitpid(children[i], &how, 0), children[i]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    assert_int_equal(files_below(root), 0);
    close(ready[0]);
    close(ready[1]);
    close(go[0]);
}

static void what_is_too_large_leaves_nothing(void **state)
{
    (void)state;
    shelf *s = hold();
    shelf_piece p;
    char *folder = inside("");
    assert_int_not_equal(shelf_make(s, "abc", (size_t)1 << 60, &p), OK);
    assert_null(p.memory);
    assert_int_equal(files_below(folder), 1); /* the lock */
    free(folder);
    shelf_let_go(&s);
}

static void only_what_has_long_not_been_used_makes_room(void **state)
{
    (void)state;
    shelf *s = hold();
    shelf_piece old = make(s, "old"), kept = make(s, "kept"), fresh = make(s, "fresh"), p;
    static const char *const long_ago[] = {"old.piece", "kept.piece"};
    for (int i = 0; i < 2; i++) {
        char *path = inside(long_ago[i]);
        assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[2]){{1000, 0}, {1000, 0}}, 0), 0);
        free(path);
    }
    shelf_give_back(&old);
    shelf_give_back(&fresh);
    p = make(s, "another");
    shelf_give_back(&p);
    assert_int_equal(shelf_find(s, "old", BYTES, &p), ERR_NOT_FOUND);
    assert_int_equal(shelf_find(s, "fresh", BYTES, &p), OK);
    shelf_give_back(&p);
    assert_int_equal(shelf_find(s, "kept", BYTES, &p), OK);
    shelf_give_back(&p);
    shelf_give_back(&kept);
    shelf_let_go(&s);
}

static void a_folder_of_others_is_refused(void **state)
{
    (void)state;
    shelf *s;
    char *folder = inside("");
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(shelf_hold(root, &s), ERR_REFUSED);
    assert_null(s);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(symlink("/tmp", folder), 0);
    assert_int_equal(shelf_hold(root, &s), ERR_REFUSED);
    assert_int_equal(unlink(folder), 0);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_one_puts_there_the_next_finds, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_last_to_let_go_clears_it, make_root, remove_root),
        cmocka_unit_test_setup_teardown(what_a_killed_process_leaves_is_cleared, make_root, remove_root),
        cmocka_unit_test_setup_teardown(processes_that_come_at_once_share_one_piece, make_root, remove_root),
        cmocka_unit_test_setup_teardown(what_is_too_large_leaves_nothing, make_root, remove_root),
        cmocka_unit_test_setup_teardown(only_what_has_long_not_been_used_makes_room, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_folder_of_others_is_refused, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
