#include "worker/backend/cpu/augment_rows.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { ONE = 1 << AUGMENT_POSITION_BITS, ROUND = ONE * ONE / 2, CHANNELS = AUGMENT_CHANNELS, BLOCK = AUGMENT_BLOCK };

/* ---- what layers have in common ---- */

static const double position_most = 1 << 29; /* far outside of any canvas; two of them add up */

int32_t augment_fixed(double value)
{
    return (int32_t)lrint(fmax(-position_most, fmin(position_most, value)));
}

int32_t augment_row_start(const double m[3], int y)
{
    return augment_fixed((m[1] * y + m[2]) * (1 << AUGMENT_AFFINE_BITS)) +
           (1 << (AUGMENT_AFFINE_BITS - AUGMENT_POSITION_BITS - 1)); /* half a 1/32 */
}

void augment_steps(const double m[3], int count, int32_t *step)
{
    for (int x = 0; x < count; x++) step[x] = augment_fixed(m[0] * x * (1 << AUGMENT_AFFINE_BITS));
}

void augment_positions(int32_t row_start, const int32_t *restrict step, int count, int32_t *restrict out)
{
    for (int from = 0; from < count; from += BLOCK) /* whole blocks, which compilers make vectors of */
        for (int x = from; x < from + BLOCK; x++) out[x] = augment_position(row_start, step[x]);
}

const uint8_t *augment_source(const augment_layer *l, const uint8_t *images, int x, int y)
{
    for (int i = l->tiles; i-- > 0;) {
        const augment_tile *t = &l->tile[i];
        if (x < t->x1 || x >= t->x2 || y < t->y1 || y >= t->y2) continue;
        size_t row = (size_t)(y - t->y1 + t->from_y), column = (size_t)(x - t->x1 + t->from_x);
        return images + t->offset + CHANNELS * (row * (size_t)t->width + column);
    }
    return NULL;
}

/* ---- blending two rows ---- */

static void blend_plain(const uint8_t *above, const uint8_t *below, int part, int count, uint16_t *out)
{
    for (int i = 0; i < count; i++) out[i] = (uint16_t)(above[i] * (ONE - part) + below[i] * part);
}

ALWAYS_INLINE uint32_t pick_pixel(const uint16_t *from, int32_t weights)
{
    uint32_t out = 0;
    for (int k = 0; k < CHANNELS; k++) {
        uint32_t sum = from[k] * (uint32_t)(weights & 0xffff) + from[k + CHANNELS] * (uint32_t)(weights >> 16);
        out |= ((sum + ROUND) >> 2 * AUGMENT_POSITION_BITS) << 8 * k;
    }
    return out;
}

static void pick_plain(const uint16_t *blended, const int32_t *offset, const int32_t *weights, int count, uint32_t *out)
{
    for (int i = 0; i < count; i++) out[i] = pick_pixel(blended + offset[i], weights[i]);
}

/* ---- resampling ---- */

ALWAYS_INLINE uint32_t resample_pixel(const augment_piece *p, int i)
{
    int32_t x = p->x[i], y = p->y[i];
    int fx = x & (ONE - 1), fy = y & (ONE - 1);
    int32_t row = (y >> AUGMENT_POSITION_BITS) - p->top, column = (x >> AUGMENT_POSITION_BITS) - p->left;
    const uint8_t *a = p->picture + row * p->stride + column * CHANNELS, *b = a + p->stride;
    uint32_t out = 0;
    for (int k = 0; k < CHANNELS; k++) {
        int above = a[k] * (ONE - fx) + a[k + CHANNELS] * fx, below = b[k] * (ONE - fx) + b[k + CHANNELS] * fx;
        out |= (uint32_t)((above * (ONE - fy) + below * fy + ROUND) >> 2 * AUGMENT_POSITION_BITS) << 8 * k;
    }
    return out;
}

static void resample_plain(const augment_piece *p, uint32_t *out)
{
    for (int i = 0; i < p->count; i++) out[i] = resample_pixel(p, i);
}

/* ---- mixing and storing ---- */

ALWAYS_INLINE void mix_blocks(double mix, uint32_t *restrict a, const uint32_t *restrict b, int padded)
{
    for (int start = 0; start < padded; start += BLOCK)
        for (int i = start; i < start + BLOCK; i++) {
            uint32_t out = 0;
            for (int k = 0; k < CHANNELS; k++) {
                int32_t x = a[i] >> 8 * k & 255, y = b[i] >> 8 * k & 255;
                out |= (uint32_t)(int32_t)(x * mix + y * (1 - mix)) << 8 * k;
            }
            a[i] = out;
        }
}

/* Each store is of four bytes, and the next one puts its fourth right. */
static void store_plain(const uint32_t *pixels, int width, int mirrored, uint8_t *out)
{
    for (int x = 0; x + 1 < width; x++)
        memcpy(out + CHANNELS * x, &pixels[mirrored ? width - 1 - x : x], sizeof *pixels);
    memcpy(out + CHANNELS * (width - 1), &pixels[mirrored ? 0 : width - 1], CHANNELS);
}

/* ---- instruction sets ---- */

static void mix_plain(double mix, uint32_t *a, const uint32_t *b, int padded)
{
    mix_blocks(mix, a, b, padded);
}

static const augment_rows rows_plain = {blend_plain, pick_plain, resample_plain, mix_plain, store_plain};

#if defined(__x86_64__)

#define TARGET_AVX2 __attribute__((target("avx2")))

TARGET_AVX2 static void blend_avx2(const uint8_t *above, const uint8_t *below, int part, int count, uint16_t *out)
{
    const __m256i a = _mm256_set1_epi16((int16_t)(ONE - part)), b = _mm256_set1_epi16((int16_t)part);
    int i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(above + i)));
        __m256i y = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(below + i)));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_add_epi16(_mm256_mullo_epi16(x, a), _mm256_mullo_epi16(y, b)));
    }
    blend_plain(above + i, below + i, part, count - i, out + i);
}

/* Red, green and blue of a pixel and of its right neighbour, as they lie in memory, paired: (r, r), (g, g), (b, b), and one
 * pair that is not used; for bytes and for 16-bit values. */
TARGET_AVX2 ALWAYS_INLINE __m256i byte_pairs(void)
{
    return _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 3, 1, 4, 2, 5, 2, 5, 8, 11, 9, 12, 10, 13, 10, 13));
}

TARGET_AVX2 ALWAYS_INLINE __m256i word_pairs(void)
{
    return _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, 4, 5, 10, 11));
}

TARGET_AVX2 ALWAYS_INLINE __m256i round_off(__m256i sums)
{
    return _mm256_srai_epi32(_mm256_add_epi32(sums, _mm256_set1_epi32(ROUND)), 2 * AUGMENT_POSITION_BITS);
}

/* Four pixels as words, in the order 0 1 | 2 3 of the halves. */
TARGET_AVX2 ALWAYS_INLINE __m256i pick_four(const uint16_t *from, const int32_t *offset, const int32_t *weights)
{
#define TWO(i, k)                                                                                                      \
    _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(from + offset[i]))),              \
                            _mm_loadu_si128((const __m128i *)(from + offset[k])), 1)
    __m256i w = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)weights));
    __m256i even = _mm256_madd_epi16(_mm256_shuffle_epi8(TWO(0, 2), word_pairs()), _mm256_shuffle_epi32(w, 0x00));
    __m256i odd = _mm256_madd_epi16(_mm256_shuffle_epi8(TWO(1, 3), word_pairs()), _mm256_shuffle_epi32(w, 0xaa));
#undef TWO
    return _mm256_packs_epi32(round_off(even), round_off(odd));
}

TARGET_AVX2 static void pick_avx2(const uint16_t *blended, const int32_t *offset, const int32_t *weights, int count,
                                  uint32_t *out)
{
    for (int i = 0; i < count; i += 8) {
        __m256i low = pick_four(blended, offset + i, weights + i),
                high = pick_four(blended, offset + i + 4, weights + i + 4);
        __m256i bytes = _mm256_packus_epi16(low, high); /* pixels 0 1 4 5 | 2 3 6 7 */
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_permute4x64_epi64(bytes, 0xd8));
    }
}

/* Four pixels of 8 bytes from a picture. */
TARGET_AVX2 ALWAYS_INLINE __m256i load_four(const uint8_t *at, const int32_t *offset)
{
#define EIGHT(i) _mm_loadl_epi64((const __m128i *)(at + offset[i]))
    __m128i low = _mm_unpacklo_epi64(EIGHT(0), EIGHT(1)), high = _mm_unpacklo_epi64(EIGHT(2), EIGHT(3));
#undef EIGHT
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* Where eight pixels of a piece lie in its picture, and their weights: across two bytes a pixel, down two words. */
TARGET_AVX2 ALWAYS_INLINE void find_eight(const augment_piece *p, int i, int32_t *offset, int32_t *across,
                                          int32_t *down)
{
    const __m256i fraction = _mm256_set1_epi32(ONE - 1), one = _mm256_set1_epi32(ONE);
    __m256i x = _mm256_loadu_si256((const __m256i *)(p->x + i)), y = _mm256_loadu_si256((const __m256i *)(p->y + i));
    __m256i row = _mm256_sub_epi32(_mm256_srai_epi32(y, AUGMENT_POSITION_BITS), _mm256_set1_epi32(p->top));
    __m256i column = _mm256_sub_epi32(_mm256_srai_epi32(x, AUGMENT_POSITION_BITS), _mm256_set1_epi32(p->left));
    __m256i three = _mm256_add_epi32(column, _mm256_slli_epi32(column, 1));
    __m256i at = _mm256_add_epi32(_mm256_mullo_epi32(row, _mm256_set1_epi32(p->stride)), three);
    __m256i fx = _mm256_and_si256(x, fraction), fy = _mm256_and_si256(y, fraction);
    _mm256_storeu_si256((__m256i *)offset, at);
    _mm256_storeu_si256((__m256i *)across, _mm256_or_si256(_mm256_sub_epi32(one, fx), _mm256_slli_epi32(fx, 8)));
    _mm256_storeu_si256((__m256i *)down, _mm256_or_si256(_mm256_sub_epi32(one, fy), _mm256_slli_epi32(fy, 16)));
}

/* Four pixels as words, in the order 0 1 | 2 3. Across, bytes times weights of up to 32 fit 16 bits; down, pairs of these are
 * summed to 32 bits. */
TARGET_AVX2 ALWAYS_INLINE __m256i resample_four(const augment_piece *p, const int32_t *offset, const int32_t *across,
                                                const int32_t *down)
{
    const __m256i repeat = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 8, 9, 8, 9, 8, 9, 8, 9));
    __m256i wx = _mm256_shuffle_epi8(_mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)across)), repeat);
    __m256i wy = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)down));
    __m256i a = _mm256_maddubs_epi16(_mm256_shuffle_epi8(load_four(p->picture, offset), byte_pairs()), wx);
    __m256i b = _mm256_maddubs_epi16(_mm256_shuffle_epi8(load_four(p->picture + p->stride, offset), byte_pairs()), wx);
    __m256i even = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), _mm256_shuffle_epi32(wy, 0x00));
    __m256i odd = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), _mm256_shuffle_epi32(wy, 0xaa));
    return _mm256_packs_epi32(round_off(even), round_off(odd));
}

TARGET_AVX2 static void resample_avx2(const augment_piece *p, uint32_t *out)
{
    enum { EIGHT = 8, TURN = 64 };
    int32_t offset[TURN], across[TURN], down[TURN];
    int start = 0, whole = p->count / EIGHT * EIGHT;
    for (; start < whole; start += TURN) {
        int count = whole - start < TURN ? whole - start : TURN;
        for (int i = 0; i < count; i += EIGHT) find_eight(p, start + i, offset + i, across + i, down + i);
        for (int i = 0; i < count; i += EIGHT) {
            __m256i low = resample_four(p, offset + i, across + i, down + i);
            __m256i high = resample_four(p, offset + i + 4, across + i + 4, down + i + 4);
            __m256i bytes = _mm256_packus_epi16(low, high); /* pixels 0 1 4 5 | 2 3 6 7 */
            _mm256_storeu_si256((__m256i *)(out + start + i), _mm256_permute4x64_epi64(bytes, 0xd8));
        }
    }
    for (int i = whole; i < p->count; i++) out[i] = resample_pixel(p, i);
}

/* Four pixels a turn as long as the four bytes behind them are still the row's. */
TARGET_AVX2 static void store_avx2(const uint32_t *pixels, int width, int mirrored, uint8_t *out)
{
    const __m128i forwards = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const __m128i backwards = _mm_setr_epi8(12, 13, 14, 8, 9, 10, 4, 5, 6, 0, 1, 2, -1, -1, -1, -1);
    const __m128i order = mirrored ? backwards : forwards;
    int x = 0;
    for (; x + 6 <= width; x += 4) {
        const uint32_t *from = pixels + (mirrored ? width - 4 - x : x);
        __m128i four = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from), order);
        _mm_storeu_si128((__m128i *)(out + CHANNELS * x), four);
    }
    store_plain(mirrored ? pixels : pixels + x, width - x, mirrored, out + CHANNELS * x);
}

TARGET_AVX2 static void mix_avx2(double mix, uint32_t *a, const uint32_t *b, int padded)
{
    mix_blocks(mix, a, b, padded);
}

static const augment_rows rows_avx2 = {blend_avx2, pick_avx2, resample_avx2, mix_avx2, store_avx2};

#endif

const augment_rows *augment_rows_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return &rows_avx2;
#endif
    return &rows_plain;
}
