#include "worker/train/terminal.h"

#include "common/log.h"
#include "common/signals.h"
#include "common/text.h"
#include "worker/metrics/ap.h"
#include "worker/train/devices.h"

static void on_opened(void *state, const device_info *device, precision p)
{
    (void)state;
    log_info("Using %s, %d threads, %s", device->name, device->threads, precision_name(p));
}

static void on_epoch(void *state, int64_t epoch, int64_t batches)
{
    terminal *t = state;
    if (epoch) share_epoch(t->share); /* the one before is in results.txt */
    log_info("\n%10s%10s%10s%10s%10s%10s%10s%10s", "Epoch", "gpu_mem", "GIoU", "obj", "cls", "total", "targets",
             "img_size");
    progress_start(&t->bar, batches, "batch");
}

static void on_progress(void *state, const training_progress *p)
{
    terminal *t = state;
    text line = {0};
    results_add_progress(&line, p->row);
    if (p->step == p->steps) progress_finish(&t->bar, text_string(&line));
    else progress_show(&t->bar, p->step, text_string(&line));
    text_free(&line);
}

static void on_validated(void *state, const training_validated *v)
{
    (void)state;
    text heading = {0};
    ap_heading(&heading);
    text_add(&heading, "%s", v->table);
    if (heading.length) heading.bytes[--heading.length] = '\0'; /* the log ends the line itself */
    log_info("%s", text_string(&heading));
    text_free(&heading);
}

static void on_validating(void *state)
{
    (void)state; /* the validator draws its own line */
}

static void on_saved(void *state, const training_saved *s)
{
    (void)state;
    if (s->path)
        log_info("Saved %s in epoch %lld after %lld batches", s->path, (long long)s->epoch, (long long)s->step);
}

static unsigned on_wish(void *state)
{
    (void)state;
    return signals_seen() == SIGNAL_NONE ? WISH_NONE : WISH_SAVE | WISH_STOP;
}

training_watch terminal_watch(terminal *t, share *share)
{
    *t = (terminal){.share = share};
    return (training_watch){t, on_opened, on_epoch, on_progress, on_validating, on_validated, on_saved, on_wish};
}
