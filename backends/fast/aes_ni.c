/* SPDX-License-Identifier: Apache-2.0 */
/* AES-NI. The MAC chain costs the latency of its rounds and nothing else; all the rest hides behind it. */
#if defined(__x86_64__)
#include "aes_x86.h"

uint32_t e4_aes_ni_sub_word(uint32_t word)
{
    return (uint32_t)_mm_cvtsi128_si32(_mm_aeskeygenassist_si128(_mm_set1_epi32((int)word), 0));
}

void e4_aes_ni_mac(const struct e4_aes_key *key, uint8_t state[16], const uint8_t *data, size_t blocks)
{
    if (blocks == 0) return;
    __m128i first = e4_round(key, 0), last = e4_round(key, E4_AES_ROUNDS);
    /* Both whitening keys and the next block in one operand, ready before the chain needs it. */
    __m128i both = _mm_xor_si128(first, last);
    __m128i x = _mm_xor_si128(_mm_xor_si128(e4_load(state), first), e4_load(data));
    for (size_t i = 1; i < blocks; i++) {
        __m128i next = _mm_xor_si128(both, e4_load(data + 16 * i));
        x = _mm_aesenclast_si128(e4_inner_rounds(key, x), next);
    }
    e4_store(state, _mm_aesenclast_si128(e4_inner_rounds(key, x), last));
}

/* width blocks at once: enough of them to hide the latency of one. */
E4_INLINE void wide(const struct e4_aes_key *key, __m128i counter,
                    const uint8_t *in, uint8_t *out, int width)
{
    __m128i x[8];
    E4_UNROLL for (int n = 0; n < width; n++) x[n] = _mm_xor_si128(e4_counter_block(counter, n), e4_round(key, 0));
    E4_UNROLL for (int r = 1; r < E4_AES_ROUNDS; r++) {
        __m128i k = e4_round(key, r);
        E4_UNROLL for (int n = 0; n < width; n++) x[n] = _mm_aesenc_si128(x[n], k);
    }
    __m128i k = e4_round(key, E4_AES_ROUNDS);
    E4_UNROLL for (int n = 0; n < width; n++)
        e4_store(out + 16 * n, _mm_aesenclast_si128(x[n], _mm_xor_si128(k, e4_load(in + 16 * n))));
}

static void ctr(const struct e4_aes_key *key, const uint8_t start[16], const uint8_t *in, uint8_t *out, size_t blocks)
{
    __m128i counter = e4_reverse(e4_load(start));
    for (; blocks >= 8; blocks -= 8, in += 128, out += 128) {
        wide(key, counter, in, out, 8);
        counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 8));
    }
    if (blocks >= 4) {
        wide(key, counter, in, out, 4);
        counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 4));
        blocks -= 4, in += 64, out += 64;
    }
    for (; blocks; blocks--, in += 16, out += 16) {
        wide(key, counter, in, out, 1);
        counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 1));
    }
}

/* One block of CTR beside each block of the chain, one block ahead of it. */
void e4_aes_ni_ctr_mac(const struct e4_aes_key *ctr_key, const struct e4_aes_key *mac_key, const uint8_t start[16],
                       uint8_t state[16], const uint8_t *in, uint8_t *out, size_t blocks)
{
    if (blocks == 0) return;
    __m128i counter = e4_reverse(e4_load(start));
    __m128i first = e4_round(mac_key, 0), last = e4_round(mac_key, E4_AES_ROUNDS), both = _mm_xor_si128(first, last);
    wide(ctr_key, counter, in, out, 1);
    __m128i x = _mm_xor_si128(_mm_xor_si128(e4_load(state), first), e4_load(out));
    for (size_t i = 1; i < blocks; i++) {
        counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 1));
        __m128i y = _mm_xor_si128(e4_reverse(counter), e4_round(ctr_key, 0));
        E4_UNROLL for (int r = 1; r < E4_AES_ROUNDS; r++) {
            x = _mm_aesenc_si128(x, e4_round(mac_key, r));
            y = _mm_aesenc_si128(y, e4_round(ctr_key, r));
        }
        y = _mm_aesenclast_si128(y, _mm_xor_si128(e4_round(ctr_key, E4_AES_ROUNDS), e4_load(in + 16 * i)));
        e4_store(out + 16 * i, y);
        x = _mm_aesenclast_si128(x, _mm_xor_si128(both, y));
    }
    e4_store(state, _mm_aesenclast_si128(e4_inner_rounds(mac_key, x), last));
}

static bool usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("avx");
}

const struct e4_aes_path e4_aes_ni = {
    "aes-ni", usable, e4_aes_ni_sub_word, NULL, e4_aes_ni_mac, ctr, e4_aes_ni_ctr_mac,
};
#else
typedef int e4_not_x86_64; /* a translation unit must not be empty */
#endif
