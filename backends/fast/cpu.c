/* SPDX-License-Identifier: Apache-2.0 */
/* The paths of this architecture; which one serves is decided once, by asking the CPU. */
#include "e4fast.h"

#if defined(__x86_64__)
extern const struct e4_aes_path e4_aes_vaes, e4_aes_ni;
#elif defined(__aarch64__)
extern const struct e4_aes_path e4_aes_armv8;
#endif

const struct e4_aes_path *const e4_aes_paths[] = {
#if defined(__x86_64__)
    &e4_aes_vaes,
    &e4_aes_ni,
#elif defined(__aarch64__)
    &e4_aes_armv8,
#endif
    &e4_aes_bitsliced,
    NULL,
};

const struct e4_aes_path *e4_aes_best(void)
{
    const struct e4_aes_path *const *path = e4_aes_paths;
    while (!(*path)->usable()) path++;
    return *path;
}
