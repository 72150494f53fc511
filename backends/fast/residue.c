/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for key material and plaintext on the stack, where calls on every path have been: residue, which prints its finds. */
#include <stdio.h>

#include "e4fast.h"

#define DEPTH 16384 /* bytes of stack, more than any call takes */
#define AWAY __attribute__((noinline))

static uint8_t seen[DEPTH];
static int finds;

AWAY static void clear(void)
{
    volatile uint8_t area[DEPTH];
    for (size_t i = 0; i < sizeof area; i++) area[i] = 0;
}

/* Reads what it never wrote, at the place of the calls before it; the compiler is told that it did. */
AWAY static void look(void)
{
    uint8_t area[DEPTH];
    __asm__ __volatile__("" : "=m"(area));
    memcpy(seen, area, sizeof seen);
}

AWAY static void leave(const uint8_t secret[16])
{
    volatile uint8_t copy[16];
    for (size_t i = 0; i < sizeof copy; i++) copy[i] = secret[i];
}

static bool is_seen(const uint8_t secret[16])
{
    for (size_t i = 0; i + 16 <= sizeof seen; i++)
        if (memcmp(seen + i, secret, 16) == 0) return true;
    return false;
}

static void must_be_gone(const struct e4_siv_key *key, const char *call, const char *what, const uint8_t secret[16])
{
    if (!is_seen(secret)) return;
    finds++;
    printf("%s, %s: %s\n", key->path->name, call, what);
}

static uint8_t raw[E4_SIV_KEY_LEN], ad[41], text[100], sealed[116], opened[100];

static void inspect(const struct e4_siv_key *key, const char *call)
{
    uint8_t end[16] = {0}; /* of the associated data, as CMAC takes it: whoever knows that learns K2 of it */
    look();
    memcpy(end, ad + 32, 9);
    end[9] = 0x80;
    e4_xor_block(end, key->padded);
    for (int i = 0; i < E4_SIV_KEY_LEN; i += 16) must_be_gone(key, call, "the key", raw + i);
    for (int r = 0; r <= E4_AES_ROUNDS; r++) {
        must_be_gone(key, call, "a round key of CMAC", key->mac.round[r]);
        must_be_gone(key, call, "a round key of CTR", key->ctr.round[r]);
    }
    must_be_gone(key, call, "K1", key->whole);
    must_be_gone(key, call, "K2", key->padded);
    must_be_gone(key, call, "the start of S2V", key->s2v);
    must_be_gone(key, call, "the end of the associated data, xored with K2", end);
    for (int i = 0; i < 96; i += 16) must_be_gone(key, call, "plaintext", text + i);
    clear();
}

static void check_path(const struct e4_aes_path *path)
{
    static struct e4_siv_key key;
    clear();
    e4_siv_init(&key, path, raw);
    inspect(&key, "init");
    e4_siv_seal(&key, ad, sizeof ad, text, sizeof text, sealed);
    inspect(&key, "seal");
    e4_siv_open(&key, ad, sizeof ad, sealed, sizeof text, opened);
    inspect(&key, "open");
    sealed[3] ^= 1;
    e4_siv_open(&key, ad, sizeof ad, sealed, sizeof text, opened);
    inspect(&key, "open of a forgery");
}

static void fill(uint8_t *data, size_t len, uint8_t start)
{
    for (size_t i = 0; i < len; i++) data[i] = start = (uint8_t)(start * 5 + 17);
}

int main(void)
{
    fill(raw, sizeof raw, 1);
    fill(ad, sizeof ad, 2);
    fill(text, sizeof text, 3);
    clear();
    leave(raw);
    look();
    if (!is_seen(raw)) {
        puts("what a call leaves is not seen");
        return 2;
    }
    for (const struct e4_aes_path *const *path = e4_aes_paths; *path; path++)
        if ((*path)->usable()) check_path(*path);
    return finds != 0;
}
