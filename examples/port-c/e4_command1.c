/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of Format 1 (wire.md sections 7, 8 and 13), and its reports (format2.md section 4.3). */
#include "e4_internal.h"

#include <string.h>

#include "e4_crypto.h"

enum { REMOVE_TOPIC, RESET_TOPICS, SET_ID_KEY, SET_TOPIC_KEY, REMOVE_PUB_KEY, RESET_PUB_KEYS, SET_PUB_KEY, SET_C2_KEY, OPCODES };

/* Exact length by opcode, itself included; SetIDKey may have that of `pk` too. */
static const uint8_t LENGTHS[OPCODES] = {17, 1, 33, 49, 17, 1, 49, 33};
enum { PK_ID_KEY = 65 };

static void remove_topic(e4_device *device, const uint8_t hash[16])
{
    e4_topic1 *topics = device->kept.of.one.topics;
    for (size_t i = 0; i < E4_TOPICS; i++)
        if (topics[i].held && memcmp(topics[i].hash, hash, 16) == 0)
            e4_wipe(&topics[i], sizeof topics[i]);
}

/* Args: arguments: key, topic hash. */
static e4_result set_topic_key(e4_device *device, const uint8_t *arguments, e4_time now)
{
    e4_topic1 *topics = device->kept.of.one.topics, *free = NULL, *topic = NULL;
    uint8_t fingerprint[8];
    if (e4_is_zero(arguments, 32))
        return E4_BAD_KEY;
    if (e4_fingerprint(arguments, fingerprint) != E4_OK)
        return E4_FAILED;
    for (size_t i = 0; i < E4_TOPICS && topic == NULL; i++) {
        if (!topics[i].held)
            free = free ? free : &topics[i];
        else if (memcmp(topics[i].hash, arguments + 32, 16) == 0)
            topic = &topics[i];
    }
    if (topic == NULL && free == NULL)
        return E4_UNSUPPORTED;
    if (topic == NULL) {
        topic = free;
        topic->held = 1;
        memcpy(topic->hash, arguments + 32, 16);
    } else if (e4_equal(topic->key, arguments, 32)) {
        return E4_OK;
    } else {
        memcpy(topic->previous, topic->key, 32);
        topic->has_previous = 1;
        topic->rotated = now / E4_SECOND;
    }
    memcpy(topic->key, arguments, 32);
    memcpy(topic->fingerprint, fingerprint, 8);
    return E4_OK;
}

static e4_result apply(e4_device *device, e4_bytes command, e4_time now)
{
    uint8_t opcode = command.data[0];
    const uint8_t *arguments = command.data + 1;
    if (opcode >= OPCODES)
        return E4_UNKNOWN_COMMAND;
    if (command.length != LENGTHS[opcode] && !(opcode == SET_ID_KEY && command.length == PK_ID_KEY))
        return E4_BAD_COMMAND_LENGTH;
    switch (opcode) {
    case REMOVE_TOPIC:
        remove_topic(device, arguments);
        return E4_OK;
    case RESET_TOPICS:
        e4_wipe(device->kept.of.one.topics, sizeof device->kept.of.one.topics);
        return E4_OK;
    case SET_ID_KEY:
        if (command.length == PK_ID_KEY || e4_is_zero(arguments, 32))
            return E4_BAD_KEY;
        memcpy(device->kept.key, arguments, 32);
        return E4_OK;
    case SET_TOPIC_KEY:
        return set_topic_key(device, arguments, now);
    default:
        return E4_UNSUPPORTED;
    }
}

/* The second below which nothing is obeyed: that of the command obeyed last, unless a clock was far ahead then. */
static uint64_t newest(const e4_device *device, e4_time now)
{
    const e4_kept1 *kept = &device->kept.of.one;
    uint64_t horizon = (now + device->skew) / E4_SECOND + E4_WINDOW1, found = 0;
    if (kept->newest <= horizon)
        return kept->newest;
    for (uint32_t i = 0; i < kept->count; i++)
        if (kept->obeyed[i].second <= horizon)
            found = e4_max(found, kept->obeyed[i].second);
    return found;
}

static e4_result check_order(const e4_device *device, uint64_t sent, const uint8_t tag[8], e4_time now)
{
    const e4_kept1 *kept = &device->kept.of.one;
    uint32_t same = 0;
    if (sent <= kept->floor || sent < newest(device, now))
        return E4_TIMESTAMP_OLD;
    if (e4_has_tag(kept->obeyed, kept->count, sent, tag))
        return E4_REPLAYED;
    for (uint32_t i = 0; i < kept->count; i++)
        same += kept->obeyed[i].second == sent;
    return same == E4_OBEYED ? E4_TIMESTAMP_OLD : E4_OK;
}

static void obeyed(e4_kept1 *kept, uint64_t sent, const uint8_t tag[8])
{
    if (kept->count == E4_OBEYED)
        kept->floor = e4_max(kept->floor, e4_forget_oldest(kept->obeyed, &kept->count));
    kept->newest = sent;
    kept->obeyed[kept->count].second = sent;
    memcpy(kept->obeyed[kept->count++].tag, tag, 8);
}

/* Not obeyed. Told once: who replays one command must not make a device talk without end. */
static e4_result declined(e4_device *device, const uint8_t subject[16], e4_handled *handled)
{
    e4_run1 *run = &device->run.one;
    for (uint32_t i = 0; i < run->declined_count; i++)
        if (memcmp(run->declined[i], subject, 8) == 0)
            return E4_OK;
    if (run->declined_count == E4_DECLINED)
        run->declined_count = 0;
    memcpy(run->declined[run->declined_count++], subject, 8);
    return e4_ack(device, subject, handled);
}

static e4_result obey(e4_device *device, e4_bytes command, uint64_t sent, const uint8_t subject[16], e4_time now)
{
    e4_run1 *run = &device->run.one;
    e4_result result = apply(device, command, now);
    if (result != E4_OK)
        return result; /* nothing was changed */
    e4_fade1(device, now);
    obeyed(&device->kept.of.one, sent, subject);
    result = e4_save(device);
    if (result == E4_OK && run->asked && command.data[0] == REMOVE_TOPIC && memcmp(command.data + 1, run->nonce, 16) == 0) {
        run->asked = 0;
        device->synchronised = 1;
    }
    return result;
}

e4_result e4_command1(e4_device *device, e4_bytes data, e4_time now, uint8_t *room, e4_handled *handled)
{
    uint64_t sent;
    e4_bytes command = {room, 0};
    const uint8_t *tag = data.data + E4_LEAD1;
    e4_result result;
    if (data.length <= E4_LEAD1 + 16)
        return E4_TOO_SHORT;
    sent = e4_get(data.data, E4_LEAD1);
    command.length = data.length - E4_LEAD1 - 16;
    result = e4_window(device, sent, now, E4_WINDOW1);
    if (result == E4_OK)
        result = e4_open1(device->kept.key, data, room);
    if (result != E4_OK)
        return result;
    result = check_order(device, sent, tag, now);
    handled->outcome = result == E4_REPLAYED ? E4_ALREADY : result == E4_OK ? E4_APPLIED : E4_OUTDATED;
    if (result == E4_OK) {
        result = obey(device, command, sent, tag, now);
        if (result > E4_EPOCH_CONFLICT)
            return result;
        handled->outcome = result == E4_OK ? E4_APPLIED : E4_REFUSED;
    }
    handled->error = result;
    if (handled->outcome == E4_ALREADY)
        return e4_answers_again(device, now) ? e4_ack(device, tag, handled) : E4_OK;
    return handled->outcome == E4_APPLIED ? e4_ack(device, tag, handled) : declined(device, tag, handled);
}

e4_result e4_hello1(e4_device *device, e4_time now, e4_handled *handled)
{
    e4_run1 *run = &device->run.one;
    (void)now;
    if (!run->asked && e4_random(device, run->nonce, 16) != E4_OK)
        return E4_FAILED;
    run->asked = 1;
    device->synchronised = 0;
    return e4_hello_report(device, run->nonce, handled);
}
