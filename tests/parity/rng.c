/* rng/: draws of Python's random and NumPy's np.random, to the last bit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "tests/parity/parity.h"

/* Which draws a key of the fixture stands for. The reference seeds anew before each list. */
typedef enum draw_kind {
    PY_RANDOM,
    PY_CHOICES,
    PY_RANDINT_99,
    PY_RANDINT_204,
    PY_UNIFORM,
    PY_RANDRANGE,
    NP_RANDOM,
    NP_NORMAL,
    NP_UNIFORM,
    NP_BETA,
    NP_MIXED,
} draw_kind;

static const struct {
    const char *key;
    draw_kind kind;
} lists[] = {
    {"random", PY_RANDOM},
    {"choices", PY_CHOICES},
    {"randint_0_99", PY_RANDINT_99},
    {"randint_0_204", PY_RANDINT_204},
    {"uniform_m3_5", PY_UNIFORM},
    {"randrange_10_40", PY_RANDRANGE},
    {"random_sample", NP_RANDOM},
    {"randn", NP_NORMAL},
    {"uniform_m1_1", NP_UNIFORM},
    {"beta_8_8", NP_BETA},
    {"mixed_random5_randn5_random1_randn4", NP_MIXED},
};

enum { WEIGHTS_MOST = 64 };
typedef struct sources {
    python_rng python;
    numpy_rng numpy;
    double sums[WEIGHTS_MOST];
    size_t weights;
} sources;

static double draw(sources *s, draw_kind kind, size_t i)
{
    switch (kind) {
    case PY_RANDOM: return python_random(&s->python);
    case PY_CHOICES: return (double)python_choice(&s->python, s->sums, s->weights);
    case PY_RANDINT_99: return (double)python_randint(&s->python, 0, 99);
    case PY_RANDINT_204: return (double)python_randint(&s->python, 0, 204);
    case PY_UNIFORM: return python_uniform(&s->python, -3, 5);
    case PY_RANDRANGE: return (double)python_randrange(&s->python, 10, 40);
    case NP_RANDOM: return numpy_random(&s->numpy);
    case NP_NORMAL: return numpy_normal(&s->numpy);
    case NP_UNIFORM: return numpy_uniform(&s->numpy, -1, 1);
    case NP_BETA: return numpy_beta(&s->numpy, 8, 8);
    case NP_MIXED: return i < 5 || i == 10 ? numpy_random(&s->numpy) : numpy_normal(&s->numpy);
    }
    return 0;
}

/* Seeds are integers of any size, given in decimal; MT19937 takes the 32-bit words of |seed|. */
static size_t seed_words(const char *decimal, uint32_t *words, size_t room)
{
    size_t count = 0;
    for (decimal += *decimal == '-'; *decimal; decimal++) {
        uint64_t carry = (uint64_t)(*decimal - '0');
        for (size_t i = 0; i < count; i++) {
            carry += (uint64_t)words[i] * 10;
            words[i] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry && count < room) words[count++] = (uint32_t)carry;
    }
    return count;
}

static void seed(sources *s, bool python, const char *decimal)
{
    uint32_t words[16];
    if (python) python_seed_words(&s->python, words, seed_words(decimal, words, 16));
    else numpy_seed(&s->numpy, (uint32_t)strtoul(decimal, NULL, 10));
}

static void run_list(parity *p, sources *s, const yaml_node *entry, const char *key, bool python)
{
    size_t kinds = sizeof lists / sizeof *lists, k = 0, count;
    while (k < kinds && strcmp(lists[k].key, key)) k++;
    if (k == kinds || (lists[k].kind < NP_RANDOM) != python) {
        case_fail(p, "unknown kind of draws \"%s\"", key);
        return;
    }
    const double *want = json_exact(p, entry, key, &count);
    double *got = parity_alloc(p, count * sizeof *got);
    seed(s, python, json_string(p, entry, "seed"));
    for (size_t i = 0; i < count; i++) got[i] = draw(s, lists[k].kind, i);
    case_numbers(p, key, got, want, count, EXACT);
}

static bool ends_in_hex(const char *key)
{
    size_t length = strlen(key);
    return length > 4 && !strcmp(key + length - 4, "_hex");
}

static void run_entries(parity *p, sources *s, const yaml_node *entries, bool python)
{
    for (size_t i = 0; entries && i < entries->count; i++) {
        const yaml_node *entry = &entries->items[i];
        case_start(p, "rng/%s seed %s", python ? "python" : "numpy", yaml_string(yaml_get(entry, "seed")));
        for (size_t k = 0; k < entry->count; k++) {
            const char *key = yaml_string(&entry->keys[k]);
            if (strcmp(key, "seed") && !ends_in_hex(key)) run_list(p, s, entry, key, python);
        }
        case_end(p);
    }
}

void parity_rng(parity *p)
{
    const yaml_node *file = parity_json(p, "rng/rng.json");
    if (!file) return;
    sources s;
    const double *weights = json_numbers(p, json_get(p, file, "choices_weights"), &s.weights);
    if (s.weights < 1 || s.weights > WEIGHTS_MOST) {
        case_fail(p, "rng/rng.json: 1 to %d weights were expected", WEIGHTS_MOST);
        return;
    }
    rng_running_sums(weights, s.weights, s.sums);
    run_entries(p, &s, json_get(p, file, "python_random"), true);
    run_entries(p, &s, json_get(p, file, "numpy_random"), false);
}
