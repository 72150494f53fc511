/* SPDX-License-Identifier: Apache-2.0 */
/* Key schedule of AES-256 (FIPS 197 section 5.2), as far as its rounds are used. */
#include "e4fast.h"

enum { KEY_WORDS = 8, WORDS = 4 * (E4_AES_ROUNDS + 1) };

void e4_aes_expand(const struct e4_aes_path *path, struct e4_aes_key *key, const uint8_t raw[32])
{
    uint32_t word[WORDS];
    uint32_t constant = 1;
    for (int i = 0; i < KEY_WORDS; i++) word[i] = e4_load32_le(raw + 4 * i);
    for (int i = KEY_WORDS; i < WORDS; i++) {
        uint32_t last = word[i - 1];
        if (i % KEY_WORDS == 0) {
            last = path->sub_word(last >> 8 | last << 24) ^ constant;
            constant <<= 1; /* 2^6 at most: no reduction before the seventh */
        } else if (i % KEY_WORDS == 4) {
            last = path->sub_word(last);
        }
        word[i] = word[i - KEY_WORDS] ^ last;
    }
    for (int i = 0; i < WORDS; i++) e4_store32_le(key->round[i / 4] + i % 4 * 4, word[i]);
    e4_wipe(word, sizeof word);
    if (path->arrange) path->arrange(key);
}
