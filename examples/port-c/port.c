/* SPDX-License-Identifier: Apache-2.0 */
/* The device behind the port protocol (docs/reference/port-protocol.md): one request a line, one answer. */
#include "board.h"
#include "e4.h"
#include "json.h"
#include "lines.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define NOW_MOST 1e12 /* seconds */
/* What fits on a line fits here; what is too long is for the library to say. */
enum { ROOM = LINE_MAX_LENGTH / 2 };
typedef char what_is_answered_fits[2 * (E4_PAYLOAD + E4_OVERHEAD) + 256 <= ANSWER ? 1 : -1];

static e4_device device;
static e4_settings settings;
static enum { UNPROVISIONED, RUNNING, CLOSED } state;

static lines peer;
static char line[LINE_MAX_LENGTH];
static request asked;
static answer out;
static uint8_t input[ROOM], output[ROOM], topic[LINE_MAX_LENGTH];

/* --- Members of answers and requests --- */

static const char BAD_REQUEST[] = "bad_request";

static const char *kind_of(e4_result result)
{
    return result == E4_OK ? NULL : e4_kind(result);
}

static int now_of(e4_time *now)
{
    return json_micros(&asked, "now", NOW_MOST, now);
}

static int topic_of(e4_bytes *name)
{
    name->data = topic;
    return json_text(&asked, "topic", topic, sizeof topic, &name->length);
}

/* --- Operations: each writes what stands in "ok", or returns the kind of the error --- */

static const char *about(void)
{
    put(&out, "\"protocol\":1,\"name\":\"e4-port-c\",\"version\":\"1\",\"suites\":[\"sk\",\"fips-sk\"],"
              "\"capabilities\":[\"clock\",\"reports\",\"clockless\",\"memory\"]");
    put_count(&out, ",\"limits\":{\"line\":", LINE_MAX_LENGTH);
    put_count(&out, ",\"payload\":", E4_PAYLOAD);
    put_count(&out, ",\"command\":", E4_COMMAND);
    put_count(&out, ",\"topics\":", E4_TOPICS);
    put_count(&out, ",\"epochs\":", E4_EPOCHS);
    put_count(&out, ",\"sessions\":", E4_SESSIONS);
    put_count(&out, ",\"window\":", E4_WINDOW);
    put_count(&out, ",\"skew\":", E4_SKEW / E4_SECOND);
    put_count(&out, ",\"topic_name\":", E4_TOPIC_NAME);
    put_count(&out, "},\"sizes\":{\"state\":", sizeof(e4_device));
    put_count(&out, ",\"kept\":", sizeof(e4_kept));
    put_count(&out, ",\"remembered\":", sizeof(e4_remembered));
    put(&out, "}");
    return NULL;
}

static const char *provision(void)
{
    static const struct {
        const char *name;
        e4_suite suite;
    } suites[] = {{"sk", E4_SK}, {"fips-sk", E4_FIPS_SK}};
    e4_identity identity;
    char name[16];
    size_t length, i = 0;
    int clock = 1;
    if (!json_is_text(&asked, "suite"))
        return BAD_REQUEST;
    if (!json_text(&asked, "suite", (uint8_t *)name, sizeof name, &length))
        return e4_kind(E4_UNSUPPORTED);
    while (i < 2 && (strlen(suites[i].name) != length || memcmp(suites[i].name, name, length) != 0))
        i++;
    if (i == 2)
        return e4_kind(E4_UNSUPPORTED);
    identity.suite = suites[i].suite;
    if (!json_hex(&asked, "client_id", identity.id, sizeof identity.id, &length) || length != sizeof identity.id)
        return BAD_REQUEST;
    if (!json_hex(&asked, "private", input, sizeof input, &length))
        return BAD_REQUEST;
    if (length != sizeof identity.key)
        return e4_kind(E4_BAD_KEY);
    memcpy(identity.key, input, length);
    settings.skew = 30 * E4_SECOND;
    if (json_has(&asked, "skew_s") && !json_micros(&asked, "skew_s", (double)(E4_SKEW / E4_SECOND), &settings.skew))
        return BAD_REQUEST;
    if (json_has(&asked, "clock") && !json_bool(&asked, "clock", &clock))
        return BAD_REQUEST;
    settings.clock_trusted = clock;
    e4_result result = e4_provision(&device, &board, &identity, settings);
    state = result == E4_OK ? RUNNING : UNPROVISIONED;
    return kind_of(result);
}

static const char *restart(void)
{
    e4_result result = e4_start(&device, &board, settings);
    state = result == E4_OK ? RUNNING : CLOSED;
    return kind_of(result);
}

static const char *stop(void)
{
    e4_result result = e4_close(&device);
    state = result == E4_OK ? CLOSED : state;
    return kind_of(result);
}

static const char *protect(void)
{
    e4_bytes name, payload = {input, 0};
    e4_time now;
    size_t length;
    e4_result result;
    if (!topic_of(&name) || !now_of(&now) || !json_hex(&asked, "payload", input, sizeof input, &payload.length))
        return BAD_REQUEST;
    result = e4_protect(&device, name, payload, now, output, &length);
    if (result == E4_OK)
        put_member(&out, "\"data\":", output, length);
    return kind_of(result);
}

static const char *unprotect(void)
{
    e4_bytes name, data = {input, 0};
    e4_time now;
    e4_message message;
    e4_result result;
    if (!topic_of(&name) || !now_of(&now) || !json_hex(&asked, "data", input, sizeof input, &data.length))
        return BAD_REQUEST;
    result = e4_unprotect(&device, name, data, now, output, &message);
    if (result != E4_OK)
        return e4_kind(result);
    put_member(&out, "\"payload\":", output, message.length);
    if (message.has_sender)
        put_member(&out, ",\"sender\":", message.sender, sizeof message.sender);
    else
        put(&out, ",\"sender\":null");
    put(&out, ",\"authenticated\":false");
    put_count(&out, ",\"epoch\":", message.epoch);
    put_count(&out, ",\"timestamp\":", message.timestamp);
    put_count(&out, ",\"sequence\":", message.sequence);
    return NULL;
}

static void put_reports(const uint8_t *report, size_t length)
{
    put(&out, "\"reports\":[");
    if (length > 0)
        put_member(&out, "", report, length);
    put(&out, "],\"synchronised\":");
}

static const char *command(void)
{
    static const char *const outcomes[] = {"applied", "already", "refused", "outdated"};
    e4_bytes data = {input, 0};
    e4_time now;
    e4_handled handled;
    e4_result result;
    if (!now_of(&now) || !json_hex(&asked, "data", input, sizeof input, &data.length))
        return BAD_REQUEST;
    result = e4_command(&device, data, now, output, &handled);
    if (result != E4_OK)
        return e4_kind(result);
    put(&out, "\"outcome\":\"");
    put(&out, outcomes[handled.outcome]);
    put(&out, "\",");
    put_reports(handled.report, handled.report_length);
    put(&out, handled.synchronised ? "true" : "false");
    if (handled.error != E4_OK) {
        put(&out, ",\"error\":\"");
        put(&out, e4_kind(handled.error));
        put(&out, "\"");
    }
    return NULL;
}

static const char *hello(void)
{
    e4_time now;
    uint8_t report[E4_REPORT];
    size_t length;
    e4_result result;
    if (!now_of(&now))
        return BAD_REQUEST;
    result = e4_hello(&device, now, report, &length);
    if (result != E4_OK)
        return e4_kind(result);
    put_reports(report, length);
    put(&out, "false");
    return NULL;
}

static const char *show(void)
{
    e4_held held = {0};
    uint8_t digest[16];
    e4_result result = e4_digest(&device, digest);
    if (result != E4_OK)
        return e4_kind(result);
    put(&out, "\"topics\":[");
    for (int i = 0; e4_next_held(&device, &held); i++) {
        put_member(&out, i > 0 ? ",{\"hash\":" : "{\"hash\":", held.hash, held.hash_length);
        put(&out, ",\"epochs\":[");
        for (size_t j = 0; j < held.count; j++)
            put_count(&out, j > 0 ? "," : "", held.epochs[j]);
        put(&out, "]}");
    }
    put_member(&out, "],\"peers\":[],\"digest\":", digest, sizeof digest);
    put_count(&out, ",\"last\":", e4_last(&device));
    return NULL;
}

static const struct {
    const char *name;
    const char *(*act)(void);
    int unprovisioned, closed; /* whether it may come then */
} OPERATIONS[] = {
    {"about", about, 1, 1},          {"provision", provision, 1, 1}, {"restart", restart, 0, 1}, {"close", stop, 0, 1},
    {"protect", protect, 0, 0},      {"unprotect", unprotect, 0, 0}, {"command", command, 0, 0}, {"hello", hello, 0, 0},
    {"show", show, 0, 1},
};

static const char *act(void)
{
    char name[16];
    size_t length;
    if (!json_is_text(&asked, "do"))
        return BAD_REQUEST;
    if (!json_text(&asked, "do", (uint8_t *)name, sizeof name, &length))
        return e4_kind(E4_UNSUPPORTED); /* too long for any that there is */
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof OPERATIONS[0]; i++) {
        if (strlen(OPERATIONS[i].name) != length || memcmp(OPERATIONS[i].name, name, length) != 0)
            continue;
        if (state == UNPROVISIONED && !OPERATIONS[i].unprovisioned)
            return "not_provisioned";
        if (state == CLOSED && !OPERATIONS[i].closed)
            return e4_kind(E4_CLOSED);
        return OPERATIONS[i].act();
    }
    return e4_kind(E4_UNSUPPORTED);
}

/* Args: length: of the line; negative: there is none that could be read. */
static void respond(long length)
{
    size_t id_length = 4, begin;
    const char *id = NULL, *kind = BAD_REQUEST;
    int is_object = length >= 0 && json_parse(&asked, line, (size_t)length);
    out.length = 0;
    out.overflow = 0;
    if (is_object)
        id = json_id(&asked, &id_length);
    put(&out, "{\"id\":");
    put_bytes(&out, id ? id : "null", id ? id_length : 4);
    begin = out.length;
    put(&out, ",\"ok\":{");
    if (is_object && id != NULL)
        kind = act();
    put(&out, "}}\n");
    if (kind != NULL || out.overflow) {
        out.length = begin;
        out.overflow = 0;
        put(&out, ",\"error\":{\"kind\":\"");
        put(&out, kind ? kind : "failed");
        put(&out, "\"}}\n");
    }
}

int main(int count, char **arguments)
{
    long length;
    if (count > 2) {
        fprintf(stderr, "usage: %s [tcp://127.0.0.1:PORT | /dev/TTY]; without: standard input and output\n", arguments[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!board_open() || !lines_open(&peer, count > 1 ? arguments[1] : NULL)) {
        perror(arguments[0]);
        return 1;
    }
    while ((length = lines_read(&peer, line, sizeof line - 1)) != -1) {
        respond(length);
        if (!lines_write(&peer, out.text, out.length))
            return 1;
    }
    return 0;
}
