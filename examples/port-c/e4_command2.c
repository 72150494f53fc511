/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of Format 2 (format2.md section 3), hello and Sync (section 4.4). */
#include "e4_internal.h"

#include <string.h>

#include "e4_crypto.h"

enum { HEADER = 26, TAG = 16, KEY = 37, USE = 69, SYNC_WITHIN = 10 }; /* KEY, USE: where they are in a SetTopicKey */
enum { REMOVE_TOPIC = 0, RESET_TOPICS, SET_ID_KEY, SET_TOPIC_KEY, SYNC = 9, OPCODES };
#define SYNC_BEFORE_MS ((UINT64_C(1) << 32) * 1000)

/* Exact length by opcode, itself included; public keys, which these suites do not have, count as 0. */
static const struct {
    uint8_t length, supported;
} COMMANDS[OPCODES] = {{33, 1}, {1, 1}, {33, 1}, {90, 1}, {17, 0}, {1, 0}, {25, 0}, {1, 0}, {17, 0}, {25, 1}};

typedef struct {
    const uint8_t *data; /* opcode, arguments */
    size_t length;
    e4_time now; /* by the own clock */
} entry;

typedef e4_result (*visitor)(e4_device *device, entry each);

static e4_result check_form(e4_bytes plain)
{
    size_t i = 8, length;
    do {
        if (i + 3 > plain.length)
            return E4_BAD_COMMAND_LENGTH;
        length = (size_t)e4_get(plain.data + i, 2);
        if (length == 0 || length > plain.length - i - 2)
            return E4_BAD_COMMAND_LENGTH;
        i += 2 + length;
    } while (i < plain.length);
    return E4_OK;
}

/* Args: plain: of a form that was checked. */
static e4_result each_entry(e4_device *device, e4_bytes plain, e4_time now, visitor visit)
{
    e4_result result = E4_OK;
    for (size_t i = 8, length; i < plain.length && result == E4_OK; i += 2 + length) {
        length = (size_t)e4_get(plain.data + i, 2);
        result = visit(device, (entry){plain.data + i + 2, length, now});
    }
    return result;
}

static e4_result check_length(e4_device *device, entry each)
{
    uint8_t opcode = each.data[0];
    (void)device;
    return opcode < OPCODES && each.length != COMMANDS[opcode].length ? E4_BAD_COMMAND_LENGTH : E4_OK;
}

static e4_result check_known(e4_device *device, entry each)
{
    (void)device;
    return each.data[0] < OPCODES ? E4_OK : E4_UNKNOWN_COMMAND;
}

static e4_result check_supported(e4_device *device, entry each)
{
    int use_is_known = each.data[0] != SET_TOPIC_KEY || each.data[USE] <= 1;
    (void)device;
    return COMMANDS[each.data[0]].supported && use_is_known ? E4_OK : E4_UNSUPPORTED;
}

static e4_result check_keys(e4_device *device, entry each)
{
    const uint8_t *key = each.data[0] == SET_ID_KEY ? each.data + 1 : each.data[0] == SET_TOPIC_KEY ? each.data + KEY : NULL;
    (void)device;
    return key != NULL && e4_is_zero(key, 32) ? E4_BAD_KEY : E4_OK;
}

static e4_result apply(e4_device *device, entry each)
{
    switch (each.data[0]) {
    case REMOVE_TOPIC:
        e4_remove_topic(device, each.data + 1);
        return E4_OK;
    case RESET_TOPICS:
        for (size_t i = 0; i < E4_TOPICS; i++)
            e4_remove_topic(device, device->kept.of.two.topics[i].hash);
        return E4_OK;
    case SET_ID_KEY:
        memcpy(device->kept.pending, each.data + 1, 32);
        device->kept.has_pending = 1;
        return E4_OK;
    case SET_TOPIC_KEY:
        return e4_set_topic_key(device, each.data + 1);
    default: /* a Sync changes nothing that is saved */
        return E4_OK;
    }
}

/* Args: is_pending: the command opened under the pending key. */
static e4_result obey(e4_device *device, e4_bytes plain, int is_pending, e4_time now)
{
    static const visitor steps[] = {check_length, check_known, check_supported, check_keys};
    e4_result result = check_form(plain);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && result == E4_OK; i++)
        result = each_entry(device, plain, now, steps[i]);
    if (result != E4_OK)
        return result;
    if (is_pending) {
        memcpy(device->kept.key, device->kept.pending, 32);
        e4_wipe(device->kept.pending, 32);
        device->kept.has_pending = 0;
    }
    result = each_entry(device, plain, now, apply);
    if (result != E4_OK)
        return e4_take_back(device, result); /* all entries or none */
    e4_fade2(device, e4_second2(device, e4_corrected(device, now)));
    return E4_OK;
}

/* --- Hello and Sync --- */

static e4_result synchronise(e4_device *device, entry each)
{
    e4_run2 *run = &device->run.two;
    uint64_t time_ms;
    uint32_t i = 0;
    if (each.data[0] != SYNC)
        return E4_OK;
    while (i < run->hello_count && memcmp(run->hellos[i].nonce, each.data + 1, 16) != 0)
        i++;
    if (i == run->hello_count)
        return E4_OK;
    if (!device->clock_trusted) {
        time_ms = e4_get(each.data + 17, 8);
        if (each.now < run->hellos[i].said || each.now - run->hellos[i].said > SYNC_WITHIN * E4_SECOND || time_ms >= SYNC_BEFORE_MS)
            return E4_OK;
        device->correction = (int64_t)(time_ms * 1000) - (int64_t)each.now;
        device->has_clock = 1;
    }
    run->hello_count = 0;
    device->synchronised = 1;
    return E4_OK;
}

e4_result e4_hello2(e4_device *device, e4_time now, e4_handled *handled)
{
    e4_run2 *run = &device->run.two;
    uint8_t nonce[16];
    if (e4_random(device, nonce, sizeof nonce) != E4_OK)
        return E4_FAILED;
    if (run->hello_count == E4_HELLOS)
        memmove(&run->hellos[0], &run->hellos[1], --run->hello_count * sizeof run->hellos[0]);
    run->hellos[run->hello_count].said = now;
    memcpy(run->hellos[run->hello_count++].nonce, nonce, sizeof nonce);
    device->synchronised = 0;
    return e4_hello_report(device, nonce, handled);
}

/* --- Commands --- */

static e4_result open_under(const e4_device *device, const uint8_t secret[32], e4_bytes data, uint8_t *room)
{
    static const uint8_t nonce[12];
    uint8_t key[32];
    e4_bytes header = {data.data, HEADER}, sealed = {data.data + HEADER, data.length - HEADER};
    e4_result result = e4_control_key(device, secret, "E4.2 command", data.data, key);
    if (result == E4_OK)
        result = e4_gcm_open(key, nonce, header, sealed, room);
    e4_wipe(key, sizeof key);
    return result;
}

e4_result e4_command2(e4_device *device, e4_bytes data, e4_time now, uint8_t *room, e4_handled *handled)
{
    uint64_t *last = &device->kept.of.two.last, sequence;
    uint8_t subject[16] = {0};
    e4_bytes plain = {room, data.length - HEADER - TAG};
    int is_pending = 0;
    e4_result result;
    if (data.length < HEADER + TAG + 1)
        return E4_BAD_LENGTH;
    if (data.data[0] != 2 || data.data[1] != 1)
        return E4_BAD_VERSION;
    sequence = e4_get(data.data + 2, 8);
    if (sequence < *last)
        return E4_REPLAYED;
    result = open_under(device, device->kept.key, data, room);
    if (result == E4_NOT_AUTHENTIC && device->kept.has_pending) {
        result = open_under(device, device->kept.pending, data, room);
        is_pending = 1;
    }
    if (result != E4_OK)
        return result;
    memcpy(subject, data.data + 2, 8);
    if (sequence == *last) {
        handled->outcome = E4_ALREADY;
        handled->error = E4_REPLAYED;
        return e4_answers_again(device, now) ? e4_ack(device, subject, handled) : E4_OK;
    }
    result = obey(device, plain, is_pending, now);
    if (result > E4_EPOCH_CONFLICT)
        return result;
    handled->outcome = result == E4_OK ? E4_APPLIED : E4_REFUSED;
    handled->error = result;
    *last = sequence;
    result = e4_adopt2(device);
    if (result == E4_OK && handled->outcome == E4_APPLIED)
        result = each_entry(device, plain, now, synchronise);
    return result == E4_OK ? e4_ack(device, subject, handled) : result;
}
