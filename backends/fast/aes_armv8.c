/* SPDX-License-Identifier: Apache-2.0 */
/* ARMv8 cryptographic extensions. AESE adds the round key before its S-box: keys stand a round earlier than on x86. */
#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "e4fast.h"

static inline uint8x16_t round_key(const struct e4_aes_key *key, int round)
{
    return vld1q_u8(key->round[round]);
}

static inline uint8x16_t whole_round(uint8x16_t x, uint8x16_t key)
{
    return vaesmcq_u8(vaeseq_u8(x, key));
}

/* All but the addition of the last round key. */
static inline uint8x16_t rounds(const struct e4_aes_key *key, uint8x16_t x)
{
    E4_UNROLL for (int r = 0; r < E4_AES_ROUNDS - 1; r++) x = whole_round(x, round_key(key, r));
    return vaeseq_u8(x, round_key(key, E4_AES_ROUNDS - 1));
}

static uint32_t sub_word(uint32_t word)
{
    /* Four equal columns: ShiftRows changes nothing. */
    uint8x16_t x = vaeseq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), vdupq_n_u8(0));
    return vgetq_lane_u32(vreinterpretq_u32_u8(x), 0);
}

static void mac(const struct e4_aes_key *key, uint8_t state[16], const uint8_t *data, size_t blocks)
{
    if (blocks == 0) return;
    uint8x16_t last = round_key(key, E4_AES_ROUNDS);
    uint8x16_t x = veorq_u8(vld1q_u8(state), vld1q_u8(data));
    for (size_t i = 1; i < blocks; i++) x = veorq_u8(rounds(key, x), veorq_u8(last, vld1q_u8(data + 16 * i)));
    vst1q_u8(state, veorq_u8(rounds(key, x), last));
}

static inline uint8x16_t counter_block(uint64_t high, uint64_t low)
{
    return vrev64q_u8(vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(high), vcreate_u64(low))));
}

E4_INLINE void wide(const struct e4_aes_key *key, uint64_t high, uint64_t low,
                    const uint8_t *in, uint8_t *out, int width)
{
    uint8x16_t x[8];
    E4_UNROLL for (int n = 0; n < width; n++) x[n] = counter_block(high, low + (uint64_t)n);
    E4_UNROLL for (int r = 0; r < E4_AES_ROUNDS - 1; r++) {
        uint8x16_t k = round_key(key, r);
        E4_UNROLL for (int n = 0; n < width; n++) x[n] = whole_round(x[n], k);
    }
    uint8x16_t k = round_key(key, E4_AES_ROUNDS - 1), last = round_key(key, E4_AES_ROUNDS);
    E4_UNROLL for (int n = 0; n < width; n++)
        vst1q_u8(out + 16 * n, veorq_u8(vaeseq_u8(x[n], k), veorq_u8(last, vld1q_u8(in + 16 * n))));
}

static void ctr(const struct e4_aes_key *key, const uint8_t start[16], const uint8_t *in, uint8_t *out, size_t blocks)
{
    uint64_t high = e4_load64_be(start), low = e4_load64_be(start + 8);
    for (; blocks >= 8; blocks -= 8, in += 128, out += 128, low += 8) wide(key, high, low, in, out, 8);
    for (; blocks >= 4; blocks -= 4, in += 64, out += 64, low += 4) wide(key, high, low, in, out, 4);
    for (; blocks; blocks--, in += 16, out += 16, low++) wide(key, high, low, in, out, 1);
}

/* One block of CTR beside each block of the chain, one block ahead of it. */
static void ctr_mac(const struct e4_aes_key *ctr_key, const struct e4_aes_key *mac_key, const uint8_t start[16],
                    uint8_t state[16], const uint8_t *in, uint8_t *out, size_t blocks)
{
    if (blocks == 0) return;
    uint64_t high = e4_load64_be(start), low = e4_load64_be(start + 8);
    uint8x16_t mac_last = round_key(mac_key, E4_AES_ROUNDS), ctr_last = round_key(ctr_key, E4_AES_ROUNDS);
    wide(ctr_key, high, low, in, out, 1);
    uint8x16_t x = veorq_u8(vld1q_u8(state), vld1q_u8(out));
    for (size_t i = 1; i < blocks; i++) {
        uint8x16_t y = counter_block(high, low + i);
        E4_UNROLL for (int r = 0; r < E4_AES_ROUNDS - 1; r++) {
            x = whole_round(x, round_key(mac_key, r));
            y = whole_round(y, round_key(ctr_key, r));
        }
        x = vaeseq_u8(x, round_key(mac_key, E4_AES_ROUNDS - 1));
        y = vaeseq_u8(y, round_key(ctr_key, E4_AES_ROUNDS - 1));
        y = veorq_u8(y, veorq_u8(ctr_last, vld1q_u8(in + 16 * i)));
        vst1q_u8(out + 16 * i, y);
        x = veorq_u8(x, veorq_u8(mac_last, y));
    }
    vst1q_u8(state, veorq_u8(rounds(mac_key, x), mac_last));
}

static bool usable(void)
{
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#elif defined(__APPLE__)
    return true; /* every 64-bit Mac with an ARM processor has them */
#else
    return false;
#endif
}

const struct e4_aes_path e4_aes_armv8 = {"armv8", usable, sub_word, NULL, mac, ctr, ctr_mac};
#else
typedef int e4_not_aarch64; /* a translation unit must not be empty */
#endif
