/* SPDX-License-Identifier: Apache-2.0 */
/* What both formats have in common: start and stop, storage, names of topics. */
#include "e4_internal.h"

#include <string.h>

#include "e4_crypto.h"

static const char *const KINDS[] = {
    "ok",            "bad_command_length", "unknown_command",  "unsupported",   "bad_key",          "pubkey_missing",
    "epoch_conflict", "bad_length",        "bad_topic",        "bad_version",   "clock_unset",      "closed",
    "epoch_retired", "epoch_unknown",      "failed",           "key_expired",   "not_authentic",    "rate_exceeded",
    "replayed",      "storage",            "timestamp_future", "timestamp_old", "too_short",        "topic_key_missing",
};

const char *e4_kind(e4_result result)
{
    return KINDS[result];
}

void e4_put(uint8_t *out, uint64_t value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

uint64_t e4_get(const uint8_t *data, size_t length)
{
    uint64_t value = 0;
    while (length-- > 0)
        value = value << 8 | data[length];
    return value;
}

int e4_is_zero(const uint8_t *data, size_t length)
{
    uint8_t any = 0;
    for (size_t i = 0; i < length; i++)
        any = (uint8_t)(any | data[i]);
    return any == 0;
}

uint64_t e4_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- Start and stop --- */

e4_result e4_take_back(e4_device *device, e4_result why)
{
    const e4_platform *platform = device->platform;
    if (platform->load(platform->context, E4_KEPT, &device->kept, sizeof device->kept) == 0)
        return why;
    device->open = 0;
    return E4_STORAGE;
}

e4_result e4_save(e4_device *device)
{
    const e4_platform *platform = device->platform;
    if (platform->save(platform->context, E4_KEPT, &device->kept, sizeof device->kept) == 0)
        return E4_OK;
    return e4_take_back(device, E4_STORAGE);
}

e4_result e4_provision(e4_device *device, const e4_platform *platform, const e4_identity *identity, e4_settings settings)
{
    if (e4_is_zero(identity->key, sizeof identity->key))
        return E4_BAD_KEY;
    e4_wipe(device, sizeof *device);
    device->kept.suite = (uint8_t)identity->suite;
    memcpy(device->kept.id, identity->id, sizeof identity->id);
    memcpy(device->kept.key, identity->key, sizeof identity->key);
    if (platform->save(platform->context, E4_KEPT, &device->kept, sizeof device->kept) != 0)
        return E4_STORAGE;
    return e4_start(device, platform, settings);
}

e4_result e4_start(e4_device *device, const e4_platform *platform, e4_settings settings)
{
    e4_kept *kept = &device->kept;
    e4_wipe(device, sizeof *device);
    device->platform = platform;
    device->skew = settings.skew < E4_SKEW ? settings.skew : E4_SKEW;
    device->clock_trusted = device->has_clock = settings.clock_trusted != 0;
    if (platform->load(platform->context, E4_KEPT, kept, sizeof *kept) != 0)
        return E4_STORAGE;
    if (!kept->clean)
        kept->floor = e4_max(kept->floor, kept->mark);
    else if (platform->load(platform->context, E4_REMEMBERED, &device->memory, sizeof device->memory) != 0)
        return E4_STORAGE;
    kept->clean = 0;
    if (kept->suite == E4_SK)
        e4_start1(device);
    else
        e4_start2(device);
    if (e4_save(device) != E4_OK)
        return E4_STORAGE;
    device->open = 1;
    return E4_OK;
}

e4_result e4_close(e4_device *device)
{
    const e4_platform *platform = device->platform;
    if (!device->open)
        return E4_OK;
    if (platform->save(platform->context, E4_REMEMBERED, &device->memory, sizeof device->memory) != 0)
        return E4_STORAGE;
    if (device->kept.suite == E4_SK)
        e4_close1(device);
    device->kept.clean = 1;
    if (e4_save(device) != E4_OK)
        return E4_STORAGE;
    device->open = 0;
    return E4_OK;
}

/* --- What is done, by format --- */

/* Length of the UTF-8 sequence at `data`, RFC 3629; 0: none. */
static size_t utf8(const uint8_t *data, size_t left)
{
    uint8_t first = data[0], low = 0x80, high = 0xbf;
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length > left)
        return 0;
    low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : low;
    high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : high;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf)
        if (data[i] < low || data[i] > high)
            return 0;
    return length;
}

static e4_result topic_hash(e4_bytes topic, uint8_t hash[32])
{
    size_t length;
    if (topic.length == 0 || topic.length > E4_TOPIC_NAME)
        return E4_BAD_TOPIC;
    for (size_t i = 0; i < topic.length; i += length) {
        length = utf8(topic.data + i, topic.length - i);
        if (length == 0 || topic.data[i] == 0 || topic.data[i] == '+' || topic.data[i] == '#')
            return E4_BAD_TOPIC;
    }
    return e4_sha3(&topic, 1, hash, 32);
}

e4_result e4_protect(e4_device *device, e4_bytes topic, e4_bytes payload, e4_time now, uint8_t *out, size_t *out_length)
{
    uint8_t hash[32];
    e4_result result = device->open ? topic_hash(topic, hash) : E4_CLOSED;
    if (result != E4_OK)
        return result;
    if (payload.length > E4_PAYLOAD)
        return E4_BAD_LENGTH;
    return (device->kept.suite == E4_SK ? e4_protect1 : e4_protect2)(device, hash, payload, now, out, out_length);
}

e4_result e4_unprotect(e4_device *device, e4_bytes topic, e4_bytes data, e4_time now, uint8_t *payload, e4_message *message)
{
    uint8_t hash[32];
    e4_result result = device->open ? topic_hash(topic, hash) : E4_CLOSED;
    if (result != E4_OK)
        return result;
    memset(message, 0, sizeof *message);
    return (device->kept.suite == E4_SK ? e4_unprotect1 : e4_unprotect2)(device, hash, data, now, payload, message);
}

e4_result e4_command(e4_device *device, e4_bytes data, e4_time now, uint8_t *room, e4_handled *handled)
{
    e4_result result;
    memset(handled, 0, sizeof *handled);
    if (!device->open)
        return E4_CLOSED;
    if (data.length > E4_COMMAND)
        return E4_BAD_LENGTH;
    result = (device->kept.suite == E4_SK ? e4_command1 : e4_command2)(device, data, now, room, handled);
    handled->synchronised = device->synchronised;
    return result;
}

e4_result e4_hello(e4_device *device, e4_time now, uint8_t *report, size_t *length)
{
    e4_handled handled;
    e4_result result = E4_CLOSED;
    if (device->open)
        result = (device->kept.suite == E4_SK ? e4_hello1 : e4_hello2)(device, now, &handled);
    if (result == E4_OK) {
        memcpy(report, handled.report, handled.report_length);
        *length = handled.report_length;
    }
    return result;
}
