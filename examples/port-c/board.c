/* SPDX-License-Identifier: Apache-2.0 */
/* What stands for the hardware. */
#define _POSIX_C_SOURCE 200809L
#include "board.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/memory.h>

static struct {
    e4_kept kept;
    e4_remembered remembered;
} flash;
static int urandom;

static void *place(e4_part part)
{
    return part == E4_KEPT ? (void *)&flash.kept : (void *)&flash.remembered;
}

static int draw(void *context, uint8_t *into, size_t length)
{
    (void)context;
    return read(urandom, into, length) == (ssize_t)length ? 0 : -1;
}

static int save(void *context, e4_part part, const void *data, size_t length)
{
    (void)context;
    memcpy(place(part), data, length);
    return 0;
}

static int load(void *context, e4_part part, void *data, size_t length)
{
    (void)context;
    memcpy(data, place(part), length);
    return 0;
}

const e4_platform board = {NULL, draw, save, load};

/* That nothing is allocated is held, not hoped: the crypto library gets no memory. */
static void *no_malloc(size_t length)
{
    (void)length;
    return NULL;
}

static void no_free(void *data)
{
    (void)data;
}

static void *no_realloc(void *data, size_t length)
{
    (void)data, (void)length;
    return NULL;
}

int board_open(void)
{
    urandom = open("/dev/urandom", O_RDONLY);
    return urandom >= 0 && wolfSSL_SetAllocators(no_malloc, no_free, no_realloc) == 0;
}
