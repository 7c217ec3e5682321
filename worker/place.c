#include "worker/place.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/cores.h"
#include "common/text.h"

enum { GPUS_MOST = 64 };

static int64_t share(int64_t threads, int64_t slots)
{
    return threads / slots > 0 ? threads / slots : 1;
}

/* Digits with single commas between them. */
static bool is_list(const char *gpu)
{
    for (size_t i = 0; gpu[i]; i++) {
        bool comma = gpu[i] == ',' && i > 0 && gpu[i - 1] != ',' && gpu[i + 1];
        if (!isdigit((unsigned char)gpu[i]) && !comma) return false;
    }
    return *gpu;
}

/* "0,1,2": every GPU that the trainer can open. *out is the caller's; ERR_DEVICE with the trainer's words when there is none. */
static status list_all(const char *program, int64_t threads, char **out)
{
    text list = {0};
    status s = OK;
    for (int n = 0; n < GPUS_MOST; n++) {
        char digits[16];
        probe about;
        snprintf(digits, sizeof digits, "%d", n);
        s = probe_run(program, digits, threads, &about);
        if (s != OK) break;
        text_add(&list, n ? ",%d" : "%d", n);
        probe_free(&about);
    }
    if (list.length && (s == OK || s == ERR_DEVICE)) s = text_status(&list);
    if (s == OK) *out = text_take(&list);
    text_free(&list);
    return s;
}

static status set_names(const char *front, const char *device, client_place *out)
{
    text name = {0};
    text_add(&name, "%s%s", front, device);
    out->device = text_copy(device);
    out->name = text_take(&name);
    return out->device && out->name ? OK : FAIL(ERR_MEMORY, "out of memory");
}

static status choose_gpu(const char *program, const char *gpu, client_place *out)
{
    char *list = NULL;
    out->threads = share(cores_available(), out->slots);
    status s = OK;
    if (!strcmp(gpu, "all")) s = list_all(program, out->threads, &list);
    else if (!is_list(gpu))
        s = FAIL(ERR_ARGUMENT, "--gpu: a number, numbers with commas between them, or 'all' was expected, found '%s'",
                 gpu);
    else {
        list = text_copy(gpu);
        if (!list) s = FAIL(ERR_MEMORY, "out of memory");
    }
    if (s == OK) s = probe_run(program, list, out->threads, &out->about);
    if (s == OK) s = set_names("gpu ", list, out);
    free(list);
    return s;
}

static status choose_cpu(const char *program, int64_t threads, client_place *out)
{
    out->threads = share(threads, out->slots);
    TRY(probe_run(program, "cpu", out->threads, &out->about));
    return set_names("", "cpu", out);
}

status place_choose(const char *program, const char *gpu, int64_t cpu, int64_t slots, client_place *out)
{
    *out = (client_place){.slots = slots};
    status s;
    if (*gpu && cpu) s = FAIL(ERR_ARGUMENT, "--cpu and --gpu: a worker has one of them");
    else if (*gpu) s = choose_gpu(program, gpu, out);
    else if (cpu) s = choose_cpu(program, cpu, out);
    else {
        s = choose_gpu(program, "0", out);
        if (s == ERR_DEVICE) s = choose_cpu(program, cores_available(), out);
    }
    if (s != OK) place_free(out);
    return s;
}

void place_free(client_place *p)
{
    free(p->name);
    free(p->device);
    probe_free(&p->about);
    *p = (client_place){0};
}
