/* SPDX-License-Identifier: Apache-2.0 */
/* Without Python, for sanitizers and emulators: check            all paths against the portable one
 *                                                check FILE       all paths against lines "siv KEY AD PLAIN SEALED",
 *                                                                 "forged KEY AD SEALED" and "sha3 DATA DIGEST", in
 *                                                                 hex, "-" for nothing
 * Every buffer is as long as it must be, at every alignment, so that AddressSanitizer sees each byte too many.
 */
#include <stdio.h>
#include <stdlib.h>

#include "e4fast.h"

static uint64_t seed = 0x9E3779B97F4A7C15u;
static long checks;

static uint8_t random_byte(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint8_t)(seed >> 32);
}

static void require(bool holds, const char *what, const char *path, size_t len, size_t ad_len)
{
    checks++;
    if (holds) return;
    fprintf(stderr, "%s: %s (text %zu B, associated data %zu B)\n", path, what, len, ad_len);
    exit(1);
}

struct buffer {
    uint8_t *start; /* what malloc gave */
    uint8_t *data;  /* shifted; ends where the allocation ends */
    size_t len;
};

static struct buffer buffer(size_t len, size_t shift)
{
    uint8_t *start = malloc(len + shift + (len + shift == 0));
    if (!start) abort();
    return (struct buffer){start, start + shift, len};
}

static struct buffer filled(size_t len, size_t shift)
{
    struct buffer b = buffer(len, shift);
    for (size_t i = 0; i < len; i++) b.data[i] = random_byte();
    return b;
}

static struct buffer copied(struct buffer from, size_t shift)
{
    struct buffer b = buffer(from.len, shift);
    memcpy(b.data, from.data, from.len);
    return b;
}

static bool same(struct buffer a, struct buffer b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool is_zero(const void *memory, size_t len)
{
    const uint8_t *byte = memory;
    while (len && *byte == 0) byte++, len--;
    return len == 0;
}

static void check_refused(const struct e4_siv_key *key, struct buffer ad, struct buffer forged, size_t shift)
{
    struct buffer out = filled(forged.len - E4_TAG_LEN, shift);
    bool refused = !e4_siv_open(key, ad.data, ad.len, forged.data, out.len, out.data);
    require(refused, "a forgery opens", key->path->name, out.len, ad.len);
    require(is_zero(out.data, out.len), "a forgery leaves plaintext", key->path->name, out.len, ad.len);
    free(out.start);
}

static void check_pair(const struct e4_siv_key *key, struct buffer ad, struct buffer plain, struct buffer sealed,
                       size_t shift)
{
    const char *path = key->path->name;
    struct buffer in = copied(plain, shift), out = filled(sealed.len, 15 - shift), back = filled(plain.len, shift);
    struct buffer forged = copied(sealed, shift);
    e4_siv_seal(key, ad.data, ad.len, in.data, in.len, out.data);
    require(same(out, sealed), "seals differently", path, plain.len, ad.len);
    bool authentic = e4_siv_open(key, ad.data, ad.len, out.data, back.len, back.data);
    require(authentic && same(back, plain), "does not open", path, plain.len, ad.len);
    forged.data[random_byte() % forged.len] ^= (uint8_t)(1 << random_byte() % 8);
    check_refused(key, ad, forged, shift);
    free(forged.start);
    free(in.start);
    free(out.start);
    free(back.start);
}

static void on_all_paths(const uint8_t raw[E4_SIV_KEY_LEN], struct buffer ad, struct buffer plain, struct buffer sealed)
{
    for (const struct e4_aes_path *const *path = e4_aes_paths; *path; path++) {
        struct e4_siv_key key;
        if (!(*path)->usable()) continue;
        e4_siv_init(&key, *path, raw);
        check_pair(&key, ad, plain, sealed, random_byte() % 16);
        e4_wipe(&key, sizeof key);
        require(is_zero(&key, sizeof key), "a key is not wiped", (*path)->name, 0, 0);
    }
}

static void check_lengths(size_t len, size_t ad_len)
{
    struct buffer raw = filled(E4_SIV_KEY_LEN, 0), ad = filled(ad_len, 1), plain = filled(len, 0);
    struct buffer sealed = buffer(len + E4_TAG_LEN, 0);
    struct e4_siv_key key;
    e4_siv_init(&key, &e4_aes_bitsliced, raw.data);
    e4_siv_seal(&key, ad.data, ad.len, plain.data, len, sealed.data);
    on_all_paths(raw.data, ad, plain, sealed);
    free(raw.start);
    free(ad.start);
    free(plain.start);
    free(sealed.start);
}

/* Counters that no short message reaches: a carry out of the lowest 32 bits, and all of the lower half. */
static void check_counter(uint64_t low, size_t blocks)
{
    struct buffer raw = filled(32, 0), in = filled(16 * blocks, 3), want = buffer(16 * blocks, 0);
    uint8_t counter[16];
    for (int i = 0; i < 8; i++) counter[i] = random_byte();
    e4_store64_be(counter + 8, low);
    struct e4_aes_key key;
    e4_aes_expand(&e4_aes_bitsliced, &key, raw.data);
    e4_aes_bitsliced.ctr(&key, counter, in.data, want.data, blocks);
    for (const struct e4_aes_path *const *path = e4_aes_paths; *path; path++) {
        if (!(*path)->usable()) continue;
        struct buffer out = buffer(16 * blocks, 5), again = buffer(16 * blocks, 9);
        uint8_t chain[16] = {0}, state[16] = {0};
        e4_aes_expand(*path, &key, raw.data);
        (*path)->ctr(&key, counter, in.data, out.data, blocks);
        require(same(out, want), "counts differently", (*path)->name, 16 * blocks, 0);
        (*path)->mac(&key, chain, want.data, blocks);
        (*path)->ctr_mac(&key, &key, counter, state, in.data, again.data, blocks);
        require(same(again, want) && memcmp(state, chain, 16) == 0, "ctr_mac is not ctr and mac", (*path)->name,
                16 * blocks, 0);
        free(out.start);
        free(again.start);
    }
    free(raw.start);
    free(in.start);
    free(want.start);
}

static void check_paths(void)
{
    static const size_t ad_lens[] = {0, 1, 15, 16, 17, 26, 64, 100};
    for (size_t len = 0; len <= 300; len++)
        for (size_t i = 0; i < sizeof ad_lens / sizeof *ad_lens; i++) check_lengths(len, ad_lens[i]);
    check_lengths(1024, 26);
    check_lengths(65536, 26);
    check_lengths(65551, 4096);
    for (size_t blocks = 0; blocks <= 40; blocks++) {
        check_counter(0, blocks);
        check_counter(0xFFFFFFF0u, blocks);
        check_counter(0x7FFFFFFFFFFFFFFFu - 8, blocks);
    }
}

static uint8_t digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = memchr(digits, c, 16);
    if (!found) abort();
    return (uint8_t)(found - digits);
}

static struct buffer from_hex(const char *hex)
{
    size_t len = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    struct buffer b = buffer(len, 0);
    for (size_t i = 0; i < len; i++) b.data[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return b;
}

enum { FIELD = 1 << 18 };

static struct buffer field(FILE *file)
{
    static char text[FIELD];
    if (fscanf(file, "%262143s", text) != 1) abort();
    return from_hex(text);
}

static void check_siv_line(FILE *file)
{
    struct buffer raw = field(file), ad = field(file), plain = field(file), sealed = field(file);
    require(raw.len == E4_SIV_KEY_LEN && sealed.len == plain.len + E4_TAG_LEN, "bad line", "siv", plain.len, ad.len);
    on_all_paths(raw.data, ad, plain, sealed);
    free(raw.start);
    free(ad.start);
    free(plain.start);
    free(sealed.start);
}

static void check_forged_line(FILE *file)
{
    struct buffer raw = field(file), ad = field(file), forged = field(file);
    require(raw.len == E4_SIV_KEY_LEN && forged.len >= E4_TAG_LEN, "bad line", "forged", forged.len, ad.len);
    for (const struct e4_aes_path *const *path = e4_aes_paths; *path; path++) {
        struct e4_siv_key key;
        if (!(*path)->usable()) continue;
        e4_siv_init(&key, *path, raw.data);
        check_refused(&key, ad, forged, 0);
    }
    free(raw.start);
    free(ad.start);
    free(forged.start);
}

static void check_sha3_line(FILE *file)
{
    struct buffer data = field(file), digest = field(file), out = buffer(E4_SHA3_LEN, 7);
    e4_sha3_256(data.data, data.len, out.data);
    require(same(out, digest), "hashes differently", "sha3", data.len, 0);
    free(data.start);
    free(digest.start);
    free(out.start);
}

static const struct kind {
    const char *name;
    void (*check)(FILE *file);
} KINDS[] = {{"siv", check_siv_line}, {"forged", check_forged_line}, {"sha3", check_sha3_line}, {NULL, NULL}};

static void check_file(const char *name)
{
    char word[8];
    FILE *file = fopen(name, "r");
    if (!file) abort();
    while (fscanf(file, "%7s", word) == 1) {
        const struct kind *kind = KINDS;
        while (kind->name && strcmp(kind->name, word) != 0) kind++;
        if (!kind->name) abort();
        kind->check(file);
    }
    fclose(file);
}

int main(int count, char **arguments)
{
    if (count > 1)
        check_file(arguments[1]);
    else
        check_paths();
    printf("%d rounds, best path %s:", E4_AES_ROUNDS, e4_aes_best()->name);
    printf(" %ld checks hold\n", checks);
    return 0;
}
