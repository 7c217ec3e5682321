/* schedule.c. The reference's own numbers are in the fixtures (tests/parity/schedule.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/train/schedule.h"

static const schedule_options options = {
    .lr0 = 0.01,
    .lrf = 0.2,
    .momentum = 0.937,
    .weight_decay = 0.0005,
    .epochs = 10,
    .batches = 400,
    .batch_size = 16,
};

static schedule started(const schedule_options *o)
{
    schedule s;
    schedule_start(o, &s);
    return s;
}

static void warm_up_lasts_three_epochs_or_a_thousand_iterations(void **state)
{
    (void)state;
    schedule_options o = options;
    assert_true(started(&o).warmup == 1200);
    o.batches = 20;
    assert_true(started(&o).warmup == 1000);
}

static void warm_up_is_capped_to_a_part_of_what_lies_ahead(void **state)
{
    (void)state;
    schedule_options o = options;
    o.batches = 7;
    o.warmup_cap = 0.5;
    assert_true(started(&o).warmup == 35);
    o.start_epoch = 5;
    assert_true(started(&o).warmup == 17.5);
    o.batches = 4000;
    assert_true(started(&o).warmup == 10000); /* half of 20000 is less than three epochs */
    o.warmup_cap = 0.9;
    assert_true(started(&o).warmup == 12000);
}

static void rates_climb_and_that_of_the_biases_falls(void **state)
{
    (void)state;
    schedule s = started(&options);
    schedule_step first = schedule_at(&s, 0, 0), later = schedule_at(&s, 2, 1199), end = schedule_at(&s, 3, 1200);
    assert_true(first.lr[0] == 0 && first.lr[1] == 0 && first.lr[2] == 0.1 && first.momentum == 0.9);
    assert_true(first.accumulate == 1 && first.update);
    assert_true(later.lr[0] < later.lr[2] && later.momentum < 0.937);
    assert_true(end.lr[0] == end.lr[2] && end.momentum == 0.937 && end.accumulate == 4);
}

/* The oddity: what warm-up ends with stays for its epoch, then each epoch has the rate of the one before. */
static void the_cosine_is_one_epoch_late_after_the_warm_up(void **state)
{
    (void)state;
    schedule s = started(&options);
    double lr_3 = 0.01 * ((1 + cos(3 * M_PI / 10)) / 2 * (1 - 0.2) + 0.2);
    assert_true(schedule_at(&s, 3, 1201).lr[1] == lr_3);
    assert_true(schedule_at(&s, 3, 1599).lr[1] == lr_3);
    assert_true(schedule_at(&s, 4, 1600).lr[1] == lr_3);
    assert_true(schedule_at(&s, 5, 2000).lr[1] < lr_3);
    s.warmup = 0; /* but for its very first iteration there is none */
    assert_true(schedule_at(&s, 0, 1).lr[0] == 0.01);
    assert_true(schedule_at(&s, 1, 400).lr[0] == 0.01);
    assert_true(schedule_at(&s, 2, 800).lr[0] < 0.01);
}

static void a_warm_up_that_ends_between_iterations_ends_with_what_it_climbs_to(void **state)
{
    (void)state;
    schedule s = started(&options);
    s.warmup = 10.5;
    assert_true(schedule_at(&s, 0, 10).momentum < 0.937);
    assert_true(schedule_at(&s, 0, 11).momentum == 0.937);
    assert_true(schedule_at(&s, 0, 11).lr[2] == 0.01);
    assert_int_equal(schedule_at(&s, 0, 11).accumulate, 4);
}

static void updates_come_when_a_nominal_batch_is_together(void **state)
{
    (void)state;
    static const struct {
        int64_t batch, accumulate;
        double decay;
    } cases[] = {{16, 4, 1}, {64, 1, 1},         {128, 1, 2},       {12, 5, 60.0 / 64},
                 {1, 64, 1}, {26, 2, 52.0 / 64}, {43, 1, 43.0 / 64}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        schedule_options o = options;
        o.batch_size = cases[i].batch;
        schedule s = started(&o);
        assert_int_equal(s.accumulate, cases[i].accumulate);
        assert_true(s.weight_decay == 0.0005 * cases[i].decay);
        int updates = 0;
        for (int64_t n = 2000; n < 2000 + 64 * 5; n++) updates += schedule_at(&s, n / o.batches, n).update;
        assert_true(llabs(updates * cases[i].accumulate - 64 * 5) <= cases[i].accumulate);
    }
}

/* round() of Python and NumPy takes halves to the even side: 64 / 128 and 2.5 go down, 1.5 goes up. */
static void the_nominal_batch_can_be_another(void **state)
{
    (void)state;
    schedule_options o = options;
    o.batch_size = 8;
    o.nominal = SCHEDULE_NOMINAL_BATCH_2020_07_20;
    schedule s = started(&o);
    assert_int_equal(s.accumulate, 4);
    o.batch_size = 24;
    s = started(&o);
    assert_true(s.accumulate == 1 && s.weight_decay == 0.0005 * (24.0 / 32));
}

static void halves_round_to_even(void **state)
{
    (void)state;
    schedule_options o = options;
    schedule s = started(&o);
    s.warmup = 8;                                          /* accumulate climbs from 1 to 4 by 3/8 */
    assert_int_equal(schedule_at(&s, 0, 4).accumulate, 2); /* 2.5 */
    s.warmup = 6;
    assert_int_equal(schedule_at(&s, 0, 1).accumulate, 2); /* 1.5 */
    assert_int_equal(schedule_at(&s, 0, 3).accumulate, 2); /* 2.5 */
    assert_int_equal(schedule_at(&s, 0, 5).accumulate, 4); /* 3.5 */
}

static void adam_has_no_momentum_warm_up(void **state)
{
    (void)state;
    schedule_options o = options;
    o.optimizer = OPTIMIZER_ADAM;
    schedule s = started(&o);
    assert_true(schedule_at(&s, 0, 0).momentum == 0.937);
    assert_true(schedule_at(&s, 0, 0).lr[2] == 0.1);
}

static void the_inputs_of_an_update_are_in_their_places(void **state)
{
    (void)state;
    schedule s = started(&options);
    schedule_step step = {.lr = {1, 2, 3}, .momentum = 0.5};
    float scalars[UPDATE_COUNT];
    schedule_scalars(&s, &step, 2, 2000, scalars);
    for (int g = 0; g < UPDATE_GROUPS; g++) assert_true(scalars[UPDATE_LR + g] == (float)(g + 1));
    assert_true(scalars[UPDATE_DECAY] == 0 && scalars[UPDATE_DECAY + 1] == 0.0005f && scalars[UPDATE_DECAY + 2] == 0);
    assert_true(scalars[UPDATE_MOMENTUM] == 0.5f && scalars[UPDATE_CORRECTION_1] == 0.75f);
    assert_true(scalars[UPDATE_CORRECTION_2] == (float)(1 - 0.999 * 0.999));
    assert_true(fabs((double)scalars[UPDATE_AVERAGE_DECAY] - 0.9999 * (1 - exp(-1))) < 1e-7);
    schedule_scalars(&s, &step, 2, 0, scalars);
    assert_true(scalars[UPDATE_AVERAGE_DECAY] < 0);
}

static void a_resumed_average_has_the_updates_of_full_accumulation(void **state)
{
    (void)state;
    schedule_options o = options;
    o.start_epoch = 3;
    o.batches = 7;
    schedule s = started(&o);
    assert_int_equal(schedule_average_updates(&s), 3 * 7 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_lasts_three_epochs_or_a_thousand_iterations),
        cmocka_unit_test(warm_up_is_capped_to_a_part_of_what_lies_ahead),
        cmocka_unit_test(rates_climb_and_that_of_the_biases_falls),
        cmocka_unit_test(the_cosine_is_one_epoch_late_after_the_warm_up),
        cmocka_unit_test(a_warm_up_that_ends_between_iterations_ends_with_what_it_climbs_to),
        cmocka_unit_test(updates_come_when_a_nominal_batch_is_together),
        cmocka_unit_test(the_nominal_batch_can_be_another),
        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(adam_has_no_momentum_warm_up),
        cmocka_unit_test(the_inputs_of_an_update_are_in_their_places),
        cmocka_unit_test(a_resumed_average_has_the_updates_of_full_accumulation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
