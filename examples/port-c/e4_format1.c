/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of Format 1, suite `sk` (wire.md sections 4, 5, 8 and 13). One memory and one floor serve all topics. */
#include "e4_internal.h"

#include <string.h>

#include "e4_crypto.h"

enum { BACKDATE = 2, STEP_BACK = 300, PATIENCE = 60, OVERHEAD = E4_LEAD1 + 16 };
/* At and above, Go's time type wraps around to the past. */
#define NEVER ((UINT64_C(1) << 63) - UINT64_C(62135596800))

e4_result e4_window(const e4_device *device, uint64_t sent, e4_time now, uint64_t window)
{
    if (sent >= NEVER)
        return E4_TIMESTAMP_OLD;
    if (sent > (now + device->skew) / E4_SECOND)
        return E4_TIMESTAMP_FUTURE;
    /* the fraction of a second counts */
    return (sent + window) * E4_SECOND < now ? E4_TIMESTAMP_OLD : E4_OK;
}

static e4_topic1 *find(e4_device *device, const uint8_t *hash)
{
    e4_topic1 *topics = device->kept.of.one.topics;
    for (size_t i = 0; i < E4_TOPICS; i++)
        if (topics[i].held && memcmp(topics[i].hash, hash, 16) == 0)
            return &topics[i];
    return NULL;
}

int e4_fade1(e4_device *device, e4_time now)
{
    int any = 0;
    for (size_t i = 0; i < E4_TOPICS; i++) {
        e4_topic1 *topic = &device->kept.of.one.topics[i];
        if (topic->has_previous && (topic->rotated + E4_GRACE1) * E4_SECOND < now) {
            e4_wipe(topic->previous, sizeof topic->previous);
            topic->has_previous = 0;
            any = 1;
        }
    }
    return any;
}

/* --- Bounded memories --- */

int e4_has_tag(const e4_tag *tags, uint32_t count, uint64_t second, const uint8_t tag[8])
{
    for (uint32_t i = 0; i < count; i++)
        if (tags[i].second == second && memcmp(tags[i].tag, tag, 8) == 0)
            return 1;
    return 0;
}

uint64_t e4_forget_oldest(e4_tag *tags, uint32_t *count)
{
    uint64_t oldest = UINT64_MAX;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++)
        oldest = tags[i].second < oldest ? tags[i].second : oldest;
    for (uint32_t i = 0; i < *count; i++)
        if (tags[i].second != oldest)
            tags[kept++] = tags[i];
    *count = kept;
    return oldest;
}

/* Remember what is neither known nor at or below the floor; where there is no room the floor rises to the oldest second. */
static void remember(e4_tag *tags, uint32_t *count, uint32_t most, uint64_t *floor, uint64_t second, const uint8_t tag[8])
{
    if (*count == most)
        *floor = e4_max(*floor, e4_forget_oldest(tags, count));
    if (second <= *floor)
        return;
    tags[*count].second = second;
    memcpy(tags[(*count)++].tag, tag, 8);
}

/* --- Sending: no bytes are sent twice --- */

static e4_result set_back(uint64_t wait)
{
    return wait <= PATIENCE ? E4_RATE_EXCEEDED : E4_TIMESTAMP_OLD;
}

/* Choose the timestamp of this second; at first, stay clear of every one that an earlier run may have used. */
static e4_result turn(e4_device *device, e4_time now)
{
    e4_run1 *run = &device->run.one;
    e4_kept1 *kept = &device->kept.of.one;
    uint64_t second = now / E4_SECOND, dated = second > BACKDATE ? second - BACKDATE : 0, floor = run->own_floor;
    int changed = !run->begun;
    if (run->begun && run->begins == second)
        return E4_OK;
    if (!run->begun) {
        floor = e4_max(kept->sent, dated);
        if (floor >= second)
            return set_back(floor + 1 - second);
        kept->sent = floor + 1;
    }
    changed |= e4_fade1(device, now);
    if (changed && e4_save(device) != E4_OK)
        return E4_STORAGE;
    run->own_floor = floor;
    run->begun = 1;
    run->begins = second;
    run->second = e4_max(dated, floor + 1);
    return E4_OK;
}

/* Seal with the timestamp `second`, unless these bytes were sent before, or may have been. */
static e4_result seal_at(e4_device *device, const uint8_t *key, uint64_t second, e4_bytes payload, uint8_t *out)
{
    e4_run1 *run = &device->run.one;
    uint8_t twice[64];
    e4_result result;
    if (second <= run->floor)
        return E4_REPLAYED;
    memcpy(twice, key, 32);
    memcpy(twice + 32, key, 32);
    e4_put(out, second, E4_LEAD1);
    result = e4_siv_seal(twice, (e4_bytes){out, E4_LEAD1}, payload, out + E4_LEAD1);
    e4_wipe(twice, sizeof twice);
    if (result != E4_OK)
        return result;
    if (e4_has_tag(run->sent, run->count, second, out + E4_LEAD1))
        return E4_REPLAYED;
    remember(run->sent, &run->count, E4_SENT, &run->floor, second, out + E4_LEAD1);
    return E4_OK;
}

e4_result e4_protect1(e4_device *device, const uint8_t *hash, e4_bytes payload, e4_time now, uint8_t *out, size_t *out_length)
{
    e4_run1 *run = &device->run.one;
    e4_topic1 *topic = find(device, hash);
    uint64_t second, oldest, floor;
    e4_result result = topic == NULL ? E4_TOPIC_KEY_MISSING : turn(device, now);
    if (result != E4_OK)
        return result;
    second = run->second;
    oldest = e4_max(run->own_floor, second > STEP_BACK ? second - STEP_BACK : 0);
    result = seal_at(device, topic->key, second, payload, out);
    while (result == E4_REPLAYED && second > e4_max(oldest, run->floor) + 1)
        result = seal_at(device, topic->key, --second, payload, out);
    for (uint64_t later = run->second + 1; result == E4_REPLAYED && later <= run->begins; later++)
        result = seal_at(device, topic->key, second = later, payload, out);
    floor = e4_max(run->own_floor, run->floor);
    if (result == E4_REPLAYED)
        return floor + 1 > run->begins ? set_back(floor + 1 - run->begins) : E4_RATE_EXCEEDED;
    if (result == E4_OK && second > e4_max(device->kept.of.one.sent, run->second)) {
        device->kept.of.one.sent = second;
        result = e4_save(device);
    }
    *out_length = payload.length + OVERHEAD;
    return result;
}

/* --- Receiving --- */

e4_result e4_open1(const uint8_t key[32], e4_bytes data, uint8_t *plain)
{
    uint8_t twice[64];
    e4_result result;
    memcpy(twice, key, 32);
    memcpy(twice + 32, key, 32);
    result = e4_siv_open(twice, (e4_bytes){data.data, E4_LEAD1}, (e4_bytes){data.data + E4_LEAD1, data.length - E4_LEAD1}, plain);
    e4_wipe(twice, sizeof twice);
    return result;
}

static e4_result open_message(e4_device *device, const e4_topic1 *topic, e4_bytes data, e4_time now, uint8_t *payload)
{
    e4_result result = e4_open1(topic->key, data, payload);
    if (result != E4_NOT_AUTHENTIC || !topic->has_previous)
        return result;
    result = e4_window(device, topic->rotated, now, E4_GRACE1);
    return result != E4_OK ? result : e4_open1(topic->previous, data, payload);
}

static e4_result accept(e4_device *device, uint64_t sent, const uint8_t tag[8], e4_time now)
{
    e4_remembered1 *memory = &device->memory.one;
    if (sent <= memory->floor)
        return E4_TIMESTAMP_OLD;
    if (e4_has_tag(memory->seen, memory->count, sent, tag))
        return E4_REPLAYED;
    if (sent > device->kept.mark) {
        device->kept.mark = sent + E4_MARK_AHEAD;
        e4_fade1(device, now);
        if (e4_save(device) != E4_OK)
            return E4_STORAGE;
    }
    remember(memory->seen, &memory->count, E4_SEEN, &memory->floor, sent, tag);
    return E4_OK;
}

e4_result e4_unprotect1(e4_device *device, const uint8_t *hash, e4_bytes data, e4_time now, uint8_t *payload, e4_message *message)
{
    const e4_topic1 *topic = find(device, hash);
    uint8_t tag[8];
    e4_result result;
    if (topic == NULL)
        return E4_TOPIC_KEY_MISSING;
    if (data.length <= OVERHEAD)
        return E4_TOO_SHORT;
    if (data.length > OVERHEAD + E4_PAYLOAD)
        return E4_BAD_LENGTH;
    message->timestamp = e4_get(data.data, E4_LEAD1);
    message->length = data.length - OVERHEAD;
    result = e4_window(device, message->timestamp, now, E4_WINDOW1);
    if (result != E4_OK)
        return result;
    result = open_message(device, topic, data, now, payload);
    for (size_t i = 0; i < sizeof tag; i++)
        tag[i] = data.data[E4_LEAD1 + i] ^ hash[i];
    if (result == E4_OK)
        result = accept(device, message->timestamp, tag, now);
    if (result != E4_OK)
        e4_wipe(payload, message->length);
    return result;
}

/* --- Start and stop --- */

void e4_start1(e4_device *device)
{
    e4_remembered1 *memory = &device->memory.one;
    memory->floor = e4_max(memory->floor, device->kept.floor);
}

void e4_close1(e4_device *device)
{
    e4_kept1 *kept = &device->kept.of.one;
    e4_run1 *run = &device->run.one;
    kept->sent = e4_max(kept->sent, run->floor);
    for (uint32_t i = 0; i < run->count; i++)
        kept->sent = e4_max(kept->sent, run->sent[i].second);
}
