/* devices.c: what a task may see of the GPUs, and locks between processes and users. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/text.h"
#include "worker/devices.h"

static int make_folder(void **state)
{
    char template[] = "/tmp/mendel-devices-XXXXXX";
    *state = mkdtemp(template) ? text_copy(template) : NULL;
    if (!*state || chmod(*state, 0755)) return 1;
    char *locks = path_join(*state, "locks");
    setenv("MENDEL_LOCKS", locks, 1);
    free(locks);
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("SLURM_LOCALID");
    unsetenv("SLURM_JOB_ID");
    return 0;
}

static int remove_folder(void **state)
{
    status s = fs_remove(*state);
    free(*state);
    return s == OK ? 0 : 1;
}

/* ---- names ---- */

static void what_is_visible_is_counted(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int count;
    } cases[] =
        {{"", 0},       {"0", 1},  {"0,1,2,3", 4},    {"3, 1", 2}, {"GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,1", 2},
         {"0,-1,2", 1}, {"-1", 0}, {"NoDevFiles", 0}, {"1,,2", 1}};
    assert_int_equal(devices_visible(), -1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("CUDA_VISIBLE_DEVICES", cases[i].list, 1);
        if (devices_visible() != cases[i].count)
            fail_msg("'%s': %d expected, found %d", cases[i].list, cases[i].count, devices_visible());
    }
}

static void tasks_are_counted_by_slurm(void **state)
{
    (void)state;
    assert_int_equal(devices_task(), 0);
    setenv("SLURM_LOCALID", "3", 1);
    assert_int_equal(devices_task(), 3);
    setenv("SLURM_LOCALID", "-3", 1);
    assert_int_equal(devices_task(), 0);
    setenv("SLURM_LOCALID", "many", 1);
    assert_int_equal(devices_task(), 0);
}

static void expect_key(int number, const char *id, const char *expected)
{
    char *key = devices_key(number, id);
    assert_string_equal(key, expected);
    free(key);
}

static void a_gpu_has_one_name_however_it_is_counted(void **state)
{
    (void)state;
    expect_key(2, "", "2");
    expect_key(2, "GPU-8932/../x y", "GPU-8932_.._x_y");
    setenv("CUDA_VISIBLE_DEVICES", "5,GPU-77,MIG-GPU-1/2/0", 1);
    expect_key(0, "", "5");
    expect_key(1, "", "GPU-77");
    expect_key(0, "GPU-8932", "GPU-8932");
    expect_key(2, "GPU-1", "MIG-GPU-1_2_0"); /* a part of it */
    expect_key(7, "", "7");
    setenv("SLURM_JOB_ID", "4711", 1);
    expect_key(0, "", "job-4711-5"); /* other jobs may call another GPU so */
    expect_key(0, "GPU-8932", "GPU-8932");
    expect_key(1, "", "GPU-77");
}

/* ---- locks ---- */

/* What another process, of another user if that can be had, finds: 0 it gets the lock, 1 it is in use, 2 anything else. */
static int try_elsewhere(const char *key, long expected_holder, bool other_user)
{
    pid_t child = fork();
    if (child == 0) {
        int descriptor;
        long holder;
        if (other_user && (setgid(65534) || setuid(65534))) _exit(3);
        status s = devices_lock(key, &descriptor, &holder);
        bool fine = s == OK ? descriptor >= 0 : s == ERR_BUSY && descriptor == -1 && holder == expected_holder;
        _exit(!fine ? 2 : s == ERR_BUSY);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    return WEXITSTATUS(how);
}

static void a_gpu_has_one_worker(void **state)
{
    (void)state;
    int first, second;
    long holder;
    assert_int_equal(devices_lock("0", &first, &holder), OK);
    assert_true(first >= 0);
    assert_int_equal(devices_lock("1", &second, &holder), OK); /* another one */
    assert_int_equal(try_elsewhere("0", getpid(), false), 1);
    assert_int_equal(try_elsewhere("1", getpid(), false), 1);
    close(first);
    assert_int_equal(try_elsewhere("0", 0, false), 0);
    assert_int_equal(try_elsewhere("1", getpid(), false), 1);
    close(second);
}

static void other_users_are_kept_off_too(void **state)
{
    (void)state;
    int descriptor;
    long holder;
    if (getuid()) {
        printf("skipped: needs the right to be another user\n");
        return;
    }
    mode_t before = umask(077);
    assert_int_equal(devices_lock("0", &descriptor, &holder), OK);
    umask(before);
    assert_int_equal(try_elsewhere("0", getpid(), true), 1);
    close(descriptor);
    assert_int_equal(try_elsewhere("0", 0, true), 0); /* the file is this user's, the lock anybody's */
    assert_int_equal(try_elsewhere("2", 0, true), 0);
    assert_int_equal(devices_lock("2", &descriptor, &holder), OK); /* and the other way round */
    close(descriptor);
}

static void a_dead_worker_holds_nothing(void **state)
{
    (void)state;
    int pair[2], descriptor;
    long holder;
    char byte;
    assert_int_equal(pipe(pair), 0);
    pid_t child = fork();
    if (child == 0) {
        if (devices_lock("0", &descriptor, &holder) == OK && write(pair[1], "x", 1) == 1)
            for (;;) pause();
        _exit(1);
    }
    assert_int_equal(read(pair[0], &byte, 1), 1);
    assert_int_equal(devices_lock("0", &descriptor, &holder), ERR_BUSY);
    assert_int_equal(holder, child);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(devices_lock("0", &descriptor, &holder), OK);
    close(descriptor), close(pair[0]), close(pair[1]);
}

static void without_a_place_for_locks_it_is_done_without(void **state)
{
    int descriptor;
    long holder;
    char *locks = path_join(*state, "file"), *planted;
    assert_int_equal(fs_write(locks, "x", 1), OK);
    setenv("MENDEL_LOCKS", locks, 1);
    assert_int_equal(devices_lock("0", &descriptor, &holder), OK);
    assert_int_equal(descriptor, -1);
    free(locks);
    locks = path_join(*state, "others");
    planted = path_join(*state, "others/gpu-0.lock");
    setenv("MENDEL_LOCKS", locks, 1);
    assert_int_equal(mkdir(locks, 0777), 0);
    assert_int_equal(symlink("../file", planted), 0); /* nobody is led elsewhere */
    assert_int_equal(devices_lock("0", &descriptor, &holder), OK);
    assert_int_equal(descriptor, -1);
    char *bytes = path_join(*state, "file"), *kept;
    size_t count;
    assert_int_equal(fs_read(bytes, 0, &kept, &count), OK);
    assert_string_equal(kept, "x");
    free(locks), free(planted), free(bytes), free(kept);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(what_is_visible_is_counted),
        CASE(tasks_are_counted_by_slurm),
        CASE(a_gpu_has_one_name_however_it_is_counted),
        CASE(a_gpu_has_one_worker),
        CASE(other_users_are_kept_off_too),
        CASE(a_dead_worker_holds_nothing),
        CASE(without_a_place_for_locks_it_is_done_without),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
