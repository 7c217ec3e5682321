#include "worker/backend/load.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fs.h"

/* Beside the program; where `make install` puts them; above build/tests/ and build/tests/worker/train/. */
static const char *const places[] = {"", "../lib/mendel/", "../", "../../../"};

/* OpenMP's threads spin while they wait for their next piece of work: by default for some 15 ms, in which neither a thread that
 * makes samples nor another process gets their core. A seventh of a millisecond covers nearly all gaps within a step; then they
 * sleep. libgomp reads this when it is loaded; what the user has set stands. */
static const char spins[] = "3000";

static status load_from(const char *path, const backend_ops **out)
{
    if (!getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", spins, 0);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return FAIL(ERR_UNSUPPORTED, "cannot load %s: %s", path, dlerror());
    const backend_ops *ops = dlsym(library, BACKEND_SYMBOL);
    if (!ops) return FAIL(ERR_UNSUPPORTED, "%s is no backend: it exports no '%s'", path, BACKEND_SYMBOL);
    if (ops->abi != BACKEND_ABI)
        return FAIL(ERR_UNSUPPORTED, "%s has version %d of the backend table, expected %d; build it again", path,
                    ops->abi, BACKEND_ABI);
    *out = ops; /* the library stays open for good */
    return OK;
}

status backend_load(const char *name, const backend_ops **out)
{
    *out = NULL;
    char *program = path_real("/proc/self/exe"), *folder = program ? path_folder(program) : NULL;
    free(program);
    if (!folder) return FAIL(ERR_IO, "cannot find out where this program lies");
    status s = OK;
    text tried = {0};
    for (size_t i = 0; s == OK && !*out && i < sizeof places / sizeof *places; i++) {
        text path = {0};
        text_add(&path, "%s/%sbackend_%s.so", folder, places[i], name);
        text_add(&tried, i ? " and %s" : "%s", text_string(&path));
        s = text_status(&path);
        if (s == OK && fs_is_file(text_string(&path))) s = load_from(text_string(&path), out);
        text_free(&path);
    }
    if (s == OK && !*out) s = FAIL(ERR_NOT_FOUND, "no backend '%s': looked for %s", name, text_string(&tried));
    text_free(&tried);
    free(folder);
    return s;
}
