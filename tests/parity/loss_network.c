/* loss_network.c - a loss case through the whole network: predictions, loss and the gradients of all parameters. */
#include <stdio.h>
#include <string.h>

#include "tests/parity/loss.h"
#include "tests/parity/network.h"

static loss_parameters case_parameters(parity *p, const yaml_node *about)
{
    const yaml_node *hyp = json_get(p, about, "hyp");
    return (loss_parameters){
        .box_gain = (float)json_double(p, hyp, "giou"),
        .obj_gain = (float)json_double(p, hyp, "obj"),
        .cls_gain = (float)json_double(p, hyp, "cls"),
        .obj_weight = (float)json_double(p, hyp, "obj_pw"),
        .cls_weight = (float)json_double(p, hyp, "cls_pw"),
        .focal_gamma = (float)json_double(p, hyp, "fl_gamma"),
        .anchor_t = (float)json_double(p, hyp, "anchor_t"),
        .ratio = (float)json_double(p, about, "gr"),
        .scale = 1,
    };
}

static void check_items(parity *p, const network_run *run, const yaml_node *about)
{
    static const char *const keys[] = {"lbox", "lobj", "lcls", "sum"};
    float items[4];
    if (!case_ok(p, "items", run->ops->plan_read(run->plan, PLAN_VALUE, run->ends.items, items, sizeof items))) return;
    for (int i = 0; i < 4; i++)
        case_number(p, keys[i], (double)items[i], json_double(p, about, keys[i]), (tolerance){.rel = 1e-5, .abs = 1e-12});
}

static void check_predictions(parity *p, const network_run *run, const char *folder)
{
    for (int level = 0; level < run->m.config.levels; level++) {
        const npy *want = parity_npy(p, "%s/p%d.npy", folder, level);
        float *got = want ? network_raw(p, run, level) : NULL;
        if (got) case_floats(p, "predictions", got, want->f, want->count, (tolerance){.rel_l2 = 1e-5, .max = 1e-4});
    }
}

void parity_loss_network(parity *p, const char *folder, const yaml_node *about)
{
    const npy *x = parity_npy(p, "model/%s/input%lld/x.npy", json_string(p, about, "model"), (long long)json_int(p, about, "input"));
    const npy *targets = parity_npy(p, "%s/targets.npy", folder);
    if (!x || !targets) return;
    int32_t count = (int32_t)(targets->count / 6);
    graph_request request = {.raw = true, .loss = true, .target_room = count ? count : 1};
    request.loss_parameters = case_parameters(p, about);
    network_run run;
    bool good = network_start(p, json_string(p, about, "model"), x, &request, true, PRECISION_FP32, &run) &&
                case_ok(p, "targets", run.ops->plan_write(run.plan, PLAN_VALUE, run.ends.targets, targets->f,
                                                          (size_t)request.target_room * 6 * sizeof(float))) &&
                case_ok(p, "count", run.ops->plan_write(run.plan, PLAN_VALUE, run.ends.target_count, &count, sizeof count)) &&
                network_forward(p, &run, x);
    if (good) {
        check_predictions(p, &run, folder);
        check_items(p, &run, about);
        size_t bytes = (size_t)run.m.arena_count * sizeof(float);
        float *gradients = parity_alloc(p, bytes);
        if (case_ok(p, "gradients", run.ops->buffer_read(run.gradients, 0, gradients, bytes)))
            network_check_samples(p, &run.m, gradients, parity_name(p, "%s/param_grads", folder), 1e-4, 0);
    }
    network_stop(&run);
}
