/* SPDX-License-Identifier: Apache-2.0 */
/* SHA3-256 over Keccak-p[1600, E4_KECCAK_ROUNDS] (FIPS 202): with fewer rounds, the last ones of the 24 are kept. */
#include "e4fast.h"

enum { RATE = 136, LANES = RATE / 8, ALL_ROUNDS = 24 };

static const uint64_t ROUND_CONSTANTS[ALL_ROUNDS] = {
    0x0000000000000001u, 0x0000000000008082u, 0x800000000000808Au, 0x8000000080008000u, 0x000000000000808Bu,
    0x0000000080000001u, 0x8000000080008081u, 0x8000000000008009u, 0x000000000000008Au, 0x0000000000000088u,
    0x0000000080008009u, 0x000000008000000Au, 0x000000008000808Bu, 0x800000000000008Bu, 0x8000000000008089u,
    0x8000000000008003u, 0x8000000000008002u, 0x8000000000000080u, 0x000000000000800Au, 0x800000008000000Au,
    0x8000000080008081u, 0x8000000000008080u, 0x0000000080000001u, 0x8000000080008008u,
};

/* rho and pi in one walk over all lanes but the first: where the lane goes, and by how much it is rotated. */
static const uint8_t PI[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};
static const uint8_t RHO[24] = {1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44};

static inline uint64_t rotated(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by); /* by is never 0 here */
}

E4_INLINE void theta(uint64_t a[25])
{
    uint64_t parity[5];
    E4_UNROLL for (int x = 0; x < 5; x++) parity[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    E4_UNROLL for (int x = 0; x < 5; x++) {
        uint64_t d = parity[(x + 4) % 5] ^ rotated(parity[(x + 1) % 5], 1);
        E4_UNROLL for (int y = 0; y < 25; y += 5) a[y + x] ^= d;
    }
}

E4_INLINE void rho_pi(uint64_t a[25])
{
    uint64_t moving = a[1];
    E4_UNROLL for (int i = 0; i < 24; i++) {
        uint64_t displaced = a[PI[i]];
        a[PI[i]] = rotated(moving, RHO[i]);
        moving = displaced;
    }
}

E4_INLINE void chi(uint64_t a[25])
{
    E4_UNROLL for (int y = 0; y < 25; y += 5) {
        uint64_t row[5];
        memcpy(row, a + y, sizeof row);
        E4_UNROLL for (int x = 0; x < 5; x++) a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
    }
}

static void permute(uint64_t a[25])
{
    for (int round = ALL_ROUNDS - E4_KECCAK_ROUNDS; round < ALL_ROUNDS; round++) {
        theta(a);
        rho_pi(a);
        chi(a);
        a[0] ^= ROUND_CONSTANTS[round];
    }
}

static uint64_t load_lane(const uint8_t *from)
{
    return (uint64_t)e4_load32_le(from) | (uint64_t)e4_load32_le(from + 4) << 32;
}

static void absorb(uint64_t a[25], const uint8_t *block)
{
    for (int i = 0; i < LANES; i++) a[i] ^= load_lane(block + 8 * i);
    permute(a);
}

void e4_sha3_256(const uint8_t *data, size_t len, uint8_t out[E4_SHA3_LEN])
{
    uint64_t a[25] = {0};
    uint8_t last[RATE] = {0};
    for (; len >= RATE; len -= RATE, data += RATE) absorb(a, data);
    memcpy(last, data, len);
    last[len] = 0x06;
    last[RATE - 1] |= 0x80;
    absorb(a, last);
    for (int i = 0; i < E4_SHA3_LEN / 4; i++) e4_store32_le(out + 4 * i, (uint32_t)(a[i / 2] >> (i % 2 * 32)));
    e4_wipe(a, sizeof a);
    e4_wipe(last, sizeof last);
}
