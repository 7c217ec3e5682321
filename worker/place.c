#include "worker/place.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/cores.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/devices.h"

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

/* ---- locks ---- */

/* The lock of GPU `number`, whose id is known when it is asked for by itself. */
static status lock_gpu(int number, const char *id, client_place *out)
{
    long holder;
    int descriptor;
    char *key = devices_key(number, id);
    status s = key ? array_room(&out->locks, &out->lock_room, out->lock_count + 1) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = devices_lock(key, &descriptor, &holder);
    free(key);
    if (s == OK && descriptor >= 0) out->locks[out->lock_count++] = descriptor;
    if (s != ERR_BUSY) return s;
    char process[48] = "";
    if (holder > 0) snprintf(process, sizeof process, ", process %ld,", holder);
    return FAIL(ERR_BUSY,
                "GPU %d is in use: another worker%s trains on it. One worker can train several candidates on a GPU "
                "(--slots); "
                "--share-gpu lets two workers have it",
                number, process);
}

static void unlock(client_place *p)
{
    for (size_t i = 0; i < p->lock_count; i++) close(p->locks[i]);
    free(p->locks);
    p->locks = NULL;
    p->lock_count = p->lock_room = 0;
}

/* Twice the same would wait for itself. */
static status check_list(const char *list)
{
    bool seen[GPUS_MOST] = {false};
    for (const char *at = list; *at;) {
        char *end;
        long number = strtol(at, &end, 10);
        if (number < 0 || number >= GPUS_MOST)
            return FAIL(ERR_ARGUMENT, "--gpu %s: 0 to %d was expected", list, GPUS_MOST - 1);
        if (seen[number]) return FAIL(ERR_ARGUMENT, "--gpu %s: GPU %ld stands in it twice", list, number);
        seen[number] = true;
        at = *end ? end + 1 : end;
    }
    return OK;
}

/* Each of a list, by what its own probe says of it. */
static status lock_list(const char *program, const char *list, client_place *out)
{
    const char *at = list;
    status s = OK;
    while (s == OK && *at) {
        char *end, digits[16];
        long number = strtol(at, &end, 10);
        probe about;
        snprintf(digits, sizeof digits, "%ld", number);
        s = probe_run(program, digits, out->threads, &about);
        if (s == OK) {
            s = lock_gpu((int)number, about.id, out);
            probe_free(&about);
        }
        at = *end ? end + 1 : end;
    }
    return s;
}

/* ---- choosing ---- */

static status set_names(const char *front, const char *device, client_place *out)
{
    text name = {0};
    text_add(&name, "%s%s", front, device);
    out->device = text_copy(device);
    out->name = text_take(&name);
    return out->device && out->name ? OK : FAIL(ERR_MEMORY, "out of memory");
}

/* The GPUs of `list`, which the trainer takes together. */
static status take_gpus(const char *program, const char *list, bool shared, client_place *out)
{
    bool alone = !strchr(list, ',');
    TRY(check_list(list));
    TRY(probe_run(program, list, out->threads, &out->about));
    if (!shared) TRY(alone ? lock_gpu(atoi(list), out->about.id, out) : lock_list(program, list, out));
    return set_names("gpu ", list, out);
}

static status choose_gpu(const char *program, const place_wishes *w, client_place *out)
{
    if (strcmp(w->gpu, "all")) {
        if (is_list(w->gpu)) return take_gpus(program, w->gpu, w->shared, out);
        return FAIL(ERR_ARGUMENT,
                    "--gpu: a number, numbers with commas between them, or 'all' was expected, found '%s'", w->gpu);
    }
    char *list = NULL;
    TRY(list_all(program, out->threads, &list));
    status s = take_gpus(program, list, w->shared, out);
    free(list);
    return s;
}

/* "cpu", or "cpu,cpu" for a training of two ranks. */
static status choose_cpu(const char *program, int64_t threads, int64_t ranks, client_place *out)
{
    text device = {0};
    out->threads = share(threads, out->slots);
    text_add(&device, "cpu");
    for (int64_t i = 1; i < ranks; i++) text_add(&device, ",cpu");
    status s = text_status(&device);
    if (s == OK) s = probe_run(program, text_string(&device), out->threads, &out->about);
    if (s == OK) s = set_names("", text_string(&device), out);
    text_free(&device);
    return s;
}

/* Try GPU `number`; what an attempt that fails has filled is emptied. */
static status try_gpu(const char *program, int number, bool shared, client_place *out)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    status s = take_gpus(program, digits, shared, out);
    if (s != OK) {
        probe_free(&out->about);
        unlock(out);
    }
    return s;
}

/* Tasks of one node begin with different ones, so that each gets its own; a task that has been given one alone sees it as 0. Where
 * there are fewer than tasks, or another worker was quicker, the others are tried. ERR_DEVICE: there is no GPU. */
static status choose_any_gpu(const char *program, bool shared, client_place *out)
{
    int visible = devices_visible(), most = visible >= 0 && visible < GPUS_MOST ? visible : GPUS_MOST;
    int first = visible == 1 ? 0 : devices_task();
    status s = first < most ? try_gpu(program, first, shared, out) : ERR_DEVICE, found = s;
    for (int n = 0; n < most && (s == ERR_DEVICE || s == ERR_BUSY); n++) {
        if (n == first) continue;
        s = try_gpu(program, n, shared, out);
        if (s == ERR_DEVICE) break; /* the last one has been seen */
        if (s == ERR_BUSY) found = s;
    }
    if (s == OK || (s != ERR_DEVICE && s != ERR_BUSY)) return s;
    if (found != ERR_BUSY) return FAIL(ERR_DEVICE, "this machine has no GPU");
    return FAIL(ERR_BUSY, "other workers train on all GPUs that this one can see: --cpu N trains on cores, --share-gpu "
                          "on a GPU with "
                          "another worker");
}

status place_choose(const char *program, const place_wishes *w, client_place *out)
{
    int64_t cores = w->cores ? w->cores : cores_available();
    *out = (client_place){.slots = w->slots, .threads = share(cores, w->slots)};
    status s;
    if (*w->gpu && w->cpu) s = FAIL(ERR_ARGUMENT, "--cpu and --gpu: a worker has one of them");
    else if (w->ranks && !w->cpu) s = FAIL(ERR_ARGUMENT, "--ranks splits --cpu N; of GPUs give several: --gpu 0,1");
    else if (*w->gpu) s = choose_gpu(program, w, out);
    else if (w->cpu) {
        if (w->cpu > cores_available())
            log_warning("--cpu %lld: this process may use %d cores", (long long)w->cpu, cores_available());
        s = choose_cpu(program, w->cpu, w->ranks, out);
    } else {
        s = choose_any_gpu(program, w->shared, out);
        if (s == ERR_DEVICE) s = choose_cpu(program, cores, 1, out);
    }
    if (s != OK) place_free(out);
    return s;
}

void place_free(client_place *p)
{
    unlock(p);
    free(p->name);
    free(p->device);
    probe_free(&p->about);
    *p = (client_place){0};
}
