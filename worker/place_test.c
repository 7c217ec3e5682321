/* place.c: every way of saying which device a worker has, against a program that shows as many GPUs as a test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/cores.h"
#include "common/fs.h"
#include "common/text.h"
#include "worker/place.h"

/* A trainer that is asked for its devices: $GPUS of them, each with an id unless $NAMELESS is set. */
static const char script[] =
    "#!/bin/sh\n"
    "while [ $# -gt 0 ]; do case $1 in --device) device=$2; shift ;; --threads) threads=$2; shift ;; esac; shift; "
    "done\n"
    "[ \"${device%%,*}\" = cpu ] || for n in $(echo \"$device\" | tr , ' '); do\n"
    "    [ \"$n\" -lt \"${GPUS:-0}\" ] || { echo \"error: no such GPU: $device\" >&2; exit 1; }\n"
    "done\n"
    "id=\n"
    "[ \"${device%%,*}\" = cpu ] || [ -n \"$NAMELESS\" ] || id=\" id=uuid-$device\"\n"
    "echo \"device=Model $device precision=fp32 threads=$threads memory=7 supports=fp32,bf16$id\"\n";

typedef struct setting {
    char *folder, *program;
} setting;

static int prepare(void **state)
{
    char template[] = "/tmp/mendel-place-XXXXXX";
    setting *t = calloc(1, sizeof *t);
    if (!t || !mkdtemp(template)) return 1;
    t->folder = text_copy(template);
    t->program = path_join(t->folder, "trainer");
    char *locks = path_join(t->folder, "locks");
    setenv("MENDEL_LOCKS", locks, 1);
    free(locks);
    static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "SLURM_LOCALID", "SLURM_JOB_ID", "GPUS", "NAMELESS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
    *state = t;
    return fs_write_mode(t->program, script, strlen(script), 0755) == OK ? 0 : 1;
}

static int clean_up(void **state)
{
    setting *t = *state;
    status s = fs_remove(t->folder);
    free(t->folder);
    free(t->program);
    free(t);
    return s == OK ? 0 : 1;
}

static void set_gpus(const char *count)
{
    setenv("GPUS", count, 1);
}

static void expect(const setting *t, place_wishes wishes, const char *name, const char *device, client_place *out)
{
    if (!wishes.gpu) wishes.gpu = "";
    if (!wishes.slots) wishes.slots = 1;
    if (place_choose(t->program, &wishes, out) != OK) fail_msg("%s", status_message());
    assert_string_equal(out->name, name);
    assert_string_equal(out->device, device);
}

static void expect_refusal(const setting *t, place_wishes wishes, status code, const char *words)
{
    client_place none;
    if (!wishes.gpu) wishes.gpu = "";
    if (!wishes.slots) wishes.slots = 1;
    assert_int_equal(place_choose(t->program, &wishes, &none), code);
    if (!strstr(status_message(), words)) fail_msg("'%s' was expected, found: %s", words, status_message());
    assert_null(none.name);
    assert_int_equal(none.lock_count, 0);
}

/* ---- what is asked for ---- */

static void cores_are_shared_by_slots(void **state)
{
    setting *t = *state;
    client_place p;
    expect(t, (place_wishes){.cpu = 8, .slots = 3}, "cpu", "cpu", &p);
    assert_int_equal(p.threads, 2);
    assert_int_equal(p.slots, 3);
    assert_string_equal(p.about.model, "Model cpu");
    place_free(&p);
    expect(t, (place_wishes){.cpu = 2, .slots = 5}, "cpu", "cpu", &p); /* never less than one */
    assert_int_equal(p.threads, 1);
    place_free(&p);
    expect(t, (place_wishes){0}, "cpu", "cpu", &p);
    assert_int_equal(p.threads, cores_available());
    place_free(&p);
    expect(t, (place_wishes){.cores = 3}, "cpu", "cpu", &p);
    assert_int_equal(p.threads, 3);
    place_free(&p);
}

static void a_training_can_be_split_over_cores(void **state)
{
    setting *t = *state;
    client_place p;
    expect(t, (place_wishes){.cpu = 4, .ranks = 2}, "cpu,cpu", "cpu,cpu", &p);
    assert_int_equal(p.threads, 4); /* of both */
    place_free(&p);
    expect(t, (place_wishes){.cpu = 4, .ranks = 1}, "cpu", "cpu", &p);
    place_free(&p);
    expect_refusal(t, (place_wishes){.ranks = 2}, ERR_ARGUMENT, "--ranks splits --cpu N");
}

static void gpus_are_taken_by_number(void **state)
{
    setting *t = *state;
    client_place one, two, all;
    set_gpus("4");
    expect(t, (place_wishes){.gpu = "2", .cores = 8, .slots = 2}, "gpu 2", "2", &one);
    assert_int_equal(one.threads, 4);
    assert_int_equal(one.lock_count, 1);
    expect(t, (place_wishes){.gpu = "0,1"}, "gpu 0,1", "0,1", &two);
    assert_int_equal(two.lock_count, 2);
    expect_refusal(t, (place_wishes){.gpu = "all"}, ERR_BUSY, "GPU 0 is in use");
    place_free(&one);
    place_free(&two);
    expect(t, (place_wishes){.gpu = "all"}, "gpu 0,1,2,3", "0,1,2,3", &all);
    assert_int_equal(all.lock_count, 4);
    place_free(&all);
}

static void what_makes_no_sense_is_refused(void **state)
{
    setting *t = *state;
    set_gpus("2");
    expect_refusal(t, (place_wishes){.gpu = "0", .cpu = 1}, ERR_ARGUMENT, "--cpu and --gpu");
    expect_refusal(t, (place_wishes){.gpu = "0,,1"}, ERR_ARGUMENT, "--gpu: a number");
    expect_refusal(t, (place_wishes){.gpu = ",1"}, ERR_ARGUMENT, "--gpu: a number");
    expect_refusal(t, (place_wishes){.gpu = "first"}, ERR_ARGUMENT, "'first'");
    expect_refusal(t, (place_wishes){.gpu = "2"}, ERR_DEVICE, "no such GPU: 2");
    expect_refusal(t, (place_wishes){.gpu = "0,7"}, ERR_DEVICE, "no such GPU: 0,7");
    expect_refusal(t, (place_wishes){.gpu = "0,0"}, ERR_ARGUMENT, "GPU 0 stands in it twice");
    set_gpus("0");
    expect_refusal(t, (place_wishes){.gpu = "all"}, ERR_DEVICE, "no such GPU: 0");
}

/* ---- one worker a GPU ---- */

static void a_gpu_of_another_worker_is_refused(void **state)
{
    setting *t = *state;
    client_place first, second;
    set_gpus("2");
    expect(t, (place_wishes){.gpu = "1"}, "gpu 1", "1", &first);
    expect_refusal(t, (place_wishes){.gpu = "1"}, ERR_BUSY, "(--slots)");
    expect_refusal(t, (place_wishes){.gpu = "0,1"}, ERR_BUSY, "GPU 1 is in use");
    expect(t, (place_wishes){.gpu = "0"}, "gpu 0", "0", &second); /* what was refused holds nothing */
    place_free(&second);
    expect(t, (place_wishes){.gpu = "1", .shared = true}, "gpu 1", "1", &second);
    assert_int_equal(second.lock_count, 0);
    place_free(&second);
    place_free(&first);
    expect(t, (place_wishes){.gpu = "1"}, "gpu 1", "1", &first);
    place_free(&first);
}

static void without_a_word_the_next_free_one_is_taken(void **state)
{
    setting *t = *state;
    client_place first, second, third;
    set_gpus("2");
    expect(t, (place_wishes){0}, "gpu 0", "0", &first);
    expect(t, (place_wishes){0}, "gpu 1", "1", &second);
    expect_refusal(t, (place_wishes){0}, ERR_BUSY, "other workers train on all GPUs");
    expect(t, (place_wishes){.shared = true}, "gpu 0", "0", &third);
    place_free(&third);
    place_free(&first);
    expect(t, (place_wishes){0}, "gpu 0", "0", &first);
    expect(t, (place_wishes){.cpu = 1}, "cpu", "cpu", &third); /* cores are for everybody */
    place_free(&third);
    place_free(&first);
    place_free(&second);
}

/* The same GPU, whatever it is called. */
static void a_gpu_is_known_by_its_id(void **state)
{
    setting *t = *state;
    client_place p;
    set_gpus("1");
    setenv("CUDA_VISIBLE_DEVICES", "3", 1);
    expect(t, (place_wishes){.gpu = "0"}, "gpu 0", "0", &p);
    setenv("CUDA_VISIBLE_DEVICES", "GPU-3", 1);
    setenv("SLURM_JOB_ID", "12", 1);
    expect_refusal(t, (place_wishes){.gpu = "0"}, ERR_BUSY, "GPU 0 is in use");
    place_free(&p);
}

static void without_an_id_it_is_known_by_what_cuda_is_told(void **state)
{
    setting *t = *state;
    client_place first, second;
    set_gpus("2");
    setenv("NAMELESS", "1", 1);
    setenv("CUDA_VISIBLE_DEVICES", "2,3", 1);
    expect(t, (place_wishes){.gpu = "1"}, "gpu 1", "1", &first);
    setenv("CUDA_VISIBLE_DEVICES", "3,4", 1);
    expect_refusal(t, (place_wishes){.gpu = "0"}, ERR_BUSY, "GPU 0 is in use");
    expect(t, (place_wishes){.gpu = "1"}, "gpu 1", "1", &second);
    place_free(&first);
    place_free(&second);
}

/* ---- under Slurm ---- */

/* Four tasks on one node: each takes one of four GPUs, and none is left for a fifth. */
static void tasks_of_a_node_take_a_gpu_each(void **state)
{
    static const char *const tasks[] = {"0", "1", "2", "3"}, *const names[] = {"gpu 0", "gpu 1", "gpu 2", "gpu 3"};
    static const int order[] = {2, 0, 3, 1};
    setting *t = *state;
    client_place places[4];
    setenv("SLURM_JOB_ID", "12", 1);
    for (int limited = 0; limited < 2; limited++) {
        set_gpus("4");
        if (limited) setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3", 1);
        for (int i = 0; i < 4; i++) { /* as they happen to start */
            setenv("SLURM_LOCALID", tasks[order[i]], 1);
            expect(t, (place_wishes){0}, names[order[i]], tasks[order[i]], &places[i]);
        }
        setenv("SLURM_LOCALID", "4", 1);
        expect_refusal(t, (place_wishes){0}, ERR_BUSY, "other workers train on all GPUs");
        for (int i = 0; i < 4; i++) place_free(&places[i]);
    }
}

/* Bound by Slurm, a task sees its own GPU alone, as number 0. */
static void a_bound_task_takes_what_it_sees(void **state)
{
    setting *t = *state;
    client_place first, second;
    set_gpus("1");
    setenv("NAMELESS", "1", 1);
    setenv("SLURM_JOB_ID", "12", 1);
    setenv("SLURM_LOCALID", "2", 1);
    setenv("CUDA_VISIBLE_DEVICES", "2", 1);
    expect(t, (place_wishes){0}, "gpu 0", "0", &first);
    setenv("SLURM_LOCALID", "3", 1);
    setenv("CUDA_VISIBLE_DEVICES", "3", 1);
    expect(t, (place_wishes){0}, "gpu 0", "0", &second);
    place_free(&first);
    place_free(&second);
}

/* Where jobs have their own count of GPUs, the same number is not the same GPU. */
static void jobs_count_for_themselves(void **state)
{
    setting *t = *state;
    client_place first, second;
    set_gpus("1");
    setenv("NAMELESS", "1", 1);
    setenv("CUDA_VISIBLE_DEVICES", "0", 1);
    setenv("SLURM_JOB_ID", "12", 1);
    expect(t, (place_wishes){0}, "gpu 0", "0", &first);
    expect_refusal(t, (place_wishes){.gpu = "0"}, ERR_BUSY, "GPU 0 is in use");
    setenv("SLURM_JOB_ID", "13", 1);
    expect(t, (place_wishes){0}, "gpu 0", "0", &second);
    place_free(&first);
    place_free(&second);
}

static void no_gpu_is_visible(void **state)
{
    setting *t = *state;
    client_place p;
    set_gpus("2");
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    expect(t, (place_wishes){0}, "cpu", "cpu", &p);
    place_free(&p);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)
int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(cores_are_shared_by_slots),          CASE(a_training_can_be_split_over_cores),
        CASE(gpus_are_taken_by_number),           CASE(what_makes_no_sense_is_refused),
        CASE(a_gpu_of_another_worker_is_refused), CASE(without_a_word_the_next_free_one_is_taken),
        CASE(a_gpu_is_known_by_its_id),           CASE(without_an_id_it_is_known_by_what_cuda_is_told),
        CASE(tasks_of_a_node_take_a_gpu_each),    CASE(a_bound_task_takes_what_it_sees),
        CASE(jobs_count_for_themselves),          CASE(no_gpu_is_visible),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
