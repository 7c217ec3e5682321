/* owner.c: one coordinator alone leads a folder that several machines see. Machines are boots with other names here. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "coordinator/store/owner.h"

static char folder[] = "/tmp/mendel-owner-XXXXXX";
static const owner_options here = {.renew_ms = 50, .stale_ms = 400, .look_ms = 20, .boot = "here"};
static const owner_options there = {.renew_ms = 50, .stale_ms = 400, .look_ms = 20, .boot = "there"};

static int make_folder(void **state)
{
    (void)state;
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    log_set_level(LEVEL_SILENT);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove(folder) == OK ? 0 : -1;
}

static void nobody_leads_what_is_left(void **state)
{
    (void)state;
    owner *o;
    char name[64];
    assert_false(owner_exists(folder));
    assert_null(owner_name(folder));
    assert_int_equal(owner_take(folder, &owner_options_default, &o), OK);
    assert_true(owner_exists(folder));
    snprintf(name, sizeof name, "process %ld on ", (long)getpid());
    char *found = owner_name(folder);
    assert_non_null(found);
    assert_true(!strncmp(found, name, strlen(name)));
    free(found);
    assert_int_equal(owner_renew(o, clock_ms() + 20000), OK);
    owner_leave(&o);
    assert_null(o);
    assert_false(owner_exists(folder));
}

/* What a machine's coordinator left when it was killed: its lock on that machine is free. */
static void a_machine_goes_on_at_once_with_what_it_led(void **state)
{
    (void)state;
    owner *killed, *o;
    assert_int_equal(owner_take(folder, &here, &killed), OK);
    int64_t began = clock_ms();
    assert_int_equal(owner_take(folder, &here, &o), OK);
    assert_true(clock_ms() < began + here.stale_ms);
    owner_leave(&o);
    owner_leave(&killed);
}

static void another_machine_waits_until_it_is_sure(void **state)
{
    (void)state;
    owner *silent, *o;
    assert_int_equal(owner_take(folder, &here, &silent), OK);
    int64_t began = clock_ms();
    assert_int_equal(owner_take(folder, &there, &o), OK);
    assert_true(clock_ms() >= began + there.stale_ms);
    /* and who was silent finds that out before it writes */
    assert_int_equal(owner_renew(silent, clock_ms()), ERR_REFUSED);
    assert_non_null(strstr(status_message(), "nothing was heard of this process for too long"));
    owner_leave(&silent);
    assert_true(owner_exists(folder));
    assert_int_equal(owner_renew(o, clock_ms() + there.renew_ms), OK);
    owner_leave(&o);
    assert_false(owner_exists(folder));
}

static void who_was_followed_twice_finds_out_too(void **state)
{
    (void)state;
    owner *first, *second, *third;
    assert_int_equal(owner_take(folder, &here, &first), OK);
    assert_int_equal(owner_take(folder, &here, &second), OK);
    assert_int_equal(owner_take(folder, &here, &third), OK);
    assert_int_equal(owner_renew(first, clock_ms() + here.renew_ms), ERR_REFUSED);
    assert_int_equal(owner_renew(second, clock_ms() + here.renew_ms), ERR_REFUSED);
    assert_int_equal(owner_renew(third, clock_ms() + here.renew_ms), OK);
    owner_leave(&first);
    owner_leave(&second);
    owner_leave(&third);
}

static void *beat(void *state)
{
    owner *o = state;
    for (int64_t end = clock_ms() + 1000; clock_ms() < end; clock_sleep_ms(10))
        if (owner_renew(o, clock_ms()) != OK) return o;
    return NULL;
}

static void one_that_lives_is_left_alone(void **state)
{
    (void)state;
    owner *o, *other;
    pthread_t thread;
    void *failed;
    assert_int_equal(owner_take(folder, &here, &o), OK);
    assert_int_equal(pthread_create(&thread, NULL, beat, o), 0);
    assert_int_equal(owner_take(folder, &there, &other), ERR_BUSY);
    assert_non_null(strstr(status_message(), "another coordinator runs on"));
    assert_non_null(strstr(status_message(), "process "));
    assert_null(other);
    pthread_join(thread, &failed);
    assert_null(failed);
    owner_leave(&o);
}

enum { RIVALS = 8 };

static void *rival(void *state)
{
    owner **o = state;
    owner_take(folder, &there, o);
    return NULL;
}

static void of_several_that_have_waited_one_leads(void **state)
{
    (void)state;
    owner *silent, *rivals[RIVALS] = {NULL};
    pthread_t threads[RIVALS];
    int leading = 0;
    assert_int_equal(owner_take(folder, &here, &silent), OK);
    for (int i = 0; i < RIVALS; i++) assert_int_equal(pthread_create(&threads[i], NULL, rival, &rivals[i]), 0);
    for (int i = 0; i < RIVALS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < RIVALS; i++) leading += rivals[i] && owner_renew(rivals[i], clock_ms() + there.renew_ms) == OK;
    assert_int_equal(leading, 1);
    for (int i = 0; i < RIVALS; i++) owner_leave(&rivals[i]);
    owner_leave(&silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_leads_what_is_left, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_machine_goes_on_at_once_with_what_it_led, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(another_machine_waits_until_it_is_sure, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(who_was_followed_twice_finds_out_too, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(one_that_lives_is_left_alone, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(of_several_that_have_waited_one_leads, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
