#include "worker/train/evolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"

/* `coordinator` beside `train`, `mendel-coordinator` beside `mendel-train`. The caller frees. */
static status find_coordinator(char **out)
{
    char *self = path_real("/proc/self/exe"), *folder = self ? path_folder(self) : NULL;
    bool installed = self && text_starts_with(path_name(self), "mendel-");
    *out = folder ? path_join(folder, installed ? "mendel-coordinator" : "coordinator") : NULL;
    free(self);
    free(folder);
    if (!*out) return FAIL(ERR_MEMORY, "out of memory");
    if (!access(*out, X_OK)) return OK;
    status s = FAIL(ERR_NOT_FOUND, "--evolve: there is no coordinator %s", *out);
    free(*out);
    *out = NULL;
    return s;
}

static int count_devices(const char *list)
{
    int count = 1;
    for (; *list; list++) count += *list == ',';
    return count;
}

/* --name=value, as options_parse reads it back whatever is in it. */
static status add(fs_names *words, const char *name, const char *value)
{
    text word = {0};
    text_add(&word, "--%s=%s", name, value);
    status s = text_status(&word);
    if (s == OK) s = fs_names_add(words, text_string(&word));
    text_free(&word);
    return s;
}

static status add_given(const train_options *o, const bool *given, fs_names *words)
{
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        text value = {0};
        if (!given[i]) continue;
        options_get(&train_rows[i], o, &value);
        status s = text_status(&value);
        if (s == OK) s = add(words, train_rows[i].name, text_string(&value));
        text_free(&value);
        TRY(s);
    }
    return OK;
}

static status make_words(const train_options *o, const bool *given, const char *generations, const char *program,
                         fs_names *words)
{
    char workers[16];
    snprintf(workers, sizeof workers, "%d", count_devices(o->device));
    TRY(fs_names_add(words, program));
    TRY(add_given(o, given, words));
    if (strcmp(generations, "true")) TRY(add(words, "generations", generations));
    return add(words, "local-workers", workers);
}

static status become(const char *program, const fs_names *words)
{
    char **arguments;
    TRY(array_new(&arguments, words->count + 1));
    memcpy(arguments, words->names, words->count * sizeof *arguments);
    execv(program, arguments);
    free(arguments);
    return FAIL(ERR_IO, "--evolve: cannot start %s: %s", program, strerror(errno));
}

status evolve_run(const train_options *o, const bool *given, const char *generations)
{
    char *program = NULL;
    fs_names words = {0};
    if (*o->resume) return FAIL(ERR_ARGUMENT, "--evolve and --resume: the same command without --resume goes on");
    TRY(find_coordinator(&program));
    status s = make_words(o, given, generations, program, &words);
    if (s == OK) {
        log_info("Evolving with %s", program);
        s = become(program, &words);
    }
    fs_names_free(&words);
    free(program);
    return s;
}
