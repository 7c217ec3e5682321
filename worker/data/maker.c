#include "worker/data/maker.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/hyp.h"
#include "worker/data/augmenter.h"

struct maker {
    maker_settings settings;
    image_reader *reader;
    image decoded, loaded; /* between the steps of loading */
    uint8_t *pictures;     /* of the sample in hand: `slots` places of slot_bytes each */
    size_t slot_bytes;
    augmenter *from_cache, *from_pictures; /* over the cache's memory, and over `pictures` */
    sample sample;
};

/* The largest picture that a job can ask for. */
static size_t largest_picture(const maker_settings *s)
{
    size_t most = 0;
    if (!s->mosaic) return image_bytes(s->most_width, s->most_height);
    for (int i = 0; i < s->sample.data->count; i++) {
        const dataset_image *image = &s->sample.data->images[i];
        int width, height;
        letterbox_load_size(image->width, image->height, s->sample.image_size, &width, &height);
        size_t bytes = image_bytes(width, height);
        if (bytes > most) most = bytes;
    }
    return most;
}

status maker_create(const maker_settings *settings, maker **out)
{
    maker *m;
    *out = NULL;
    TRY(array_new(&m, 1));
    m->settings = *settings;
    bool cached = settings->mosaic && settings->cache; /* mosaics read the cache where it lies */
    size_t slots = !settings->mosaic                     ? 1
                   : settings->sample.hyp[HYP_mixup] > 0 ? AUGMENT_TILES * AUGMENT_LAYERS
                                                         : AUGMENT_TILES;
    status s = image_reader_create(&m->reader);
    if (s == OK && cached)
        s = augmenter_create(settings->ops, settings->device, settings->cache->pixels,
                             settings->cache->bytes + CACHE_SPARE_BYTES, &m->from_cache);
    if (s == OK && !cached) {
        m->slot_bytes = largest_picture(settings);
        s = array_new(&m->pictures, slots * m->slot_bytes + CACHE_SPARE_BYTES);
    }
    if (s == OK && !cached)
        s = augmenter_create(settings->ops, settings->device, m->pictures, slots * m->slot_bytes + CACHE_SPARE_BYTES,
                             &m->from_pictures);
    if (s == OK) *out = m;
    else maker_destroy(&m);
    return s;
}

void maker_destroy(maker **m)
{
    if (!*m) return;
    augmenter_destroy(&(*m)->from_cache);
    augmenter_destroy(&(*m)->from_pictures);
    image_reader_destroy(&(*m)->reader);
    image_free(&(*m)->decoded);
    image_free(&(*m)->loaded);
    free((*m)->pictures);
    sample_free(&(*m)->sample);
    free(*m);
    *m = NULL;
}

/* ---- loading ---- */

static status load(maker *m, const sample_picture *p, image *out)
{
    const maker_settings *s = &m->settings;
    resize_kind shrink = s->augment ? RESIZE_LINEAR : RESIZE_AREA;
    const dataset_image *from = &s->sample.data->images[p->index];
    bool stays = p->width == p->inner_width && p->height == p->inner_height;
    if (!s->cache && stays) return cache_load_picture(m->reader, from, s->sample.image_size, shrink, &m->decoded, out);
    const image *loaded = &m->loaded;
    image in_cache;
    if (s->cache) {
        const cached_picture *c = &s->cache->pictures[p->index];
        TRY(cache_want(s->cache, p->index, m->reader, &m->decoded));
        in_cache =
            (image){.pixels = s->cache->pixels + c->offset, .width = c->width, .height = c->height, .borrowed = true};
        loaded = &in_cache;
    } else TRY(cache_load_picture(m->reader, from, s->sample.image_size, shrink, &m->decoded, &m->loaded));
    return image_resize(loaded, RESIZE_LINEAR, p->inner_width, p->inner_height, out);
}

/* Bring the pictures of the sample to where its tiles look for them. */
static status load_pictures(maker *m)
{
    augment_sample *a = &m->sample.augment;
    size_t slot = 0;
    for (int l = 0; l < a->layers; l++)
        for (int t = 0; t < a->layer[l].tiles; t++) {
            const sample_picture *p = &m->sample.picture[l][t];
            if (m->from_cache) {
                TRY(cache_want(m->settings.cache, p->index, m->reader, &m->decoded));
                a->layer[l].tile[t].offset = m->settings.cache->pictures[p->index].offset;
                continue;
            }
            size_t offset = slot++ * m->slot_bytes;
            image place = {.pixels = m->pictures + offset, .room = m->slot_bytes, .borrowed = true};
            a->layer[l].tile[t].offset = offset;
            TRY(load(m, p, &place));
        }
    return OK;
}

status maker_run(maker *m, const maker_job *job, uint8_t *out, const sample **made)
{
    const maker_settings *s = &m->settings;
    draw d = job->draw;
    *made = &m->sample;
    if (s->mosaic) TRY(sample_mosaic(&s->sample, &d, job->index, &m->sample));
    else TRY(sample_letterbox(&s->sample, s->augment ? &d : NULL, job->index, job->width, job->height, &m->sample));
    TRY(load_pictures(m));
    return augmenter_run(m->from_cache ? m->from_cache : m->from_pictures, &m->sample.augment, m->sample.width,
                         m->sample.height, out);
}
