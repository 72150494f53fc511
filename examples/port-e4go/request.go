// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"time"
	"unicode/utf8"
)

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	lowerHex    = regexp.MustCompile(`^([0-9a-f]{2})*$`)
)

// refusal is an error with the kind that the port protocol has for it.
type refusal struct{ kind, text string }

func (r refusal) Error() string { return r.text }

// request is a line that is a JSON object. The first member that is not as it must be is kept in err.
type request struct {
	members map[string]json.RawMessage
	err     error
}

func parse(line []byte) *request {
	r := &request{}
	if !utf8.Valid(line) || json.Unmarshal(line, &r.members) != nil || r.members == nil {
		r.err = refusal{"bad_request", "a request is one JSON object in UTF-8 on a line"}
	}
	return r
}

// id as it stands there; nil: it is no whole number.
func (r *request) id() json.RawMessage {
	id := bytes.TrimSpace(r.members["id"])
	if !wholeNumber.Match(id) {
		r.wrong("id")
		return nil
	}
	return id
}

func (r *request) wrong(name string) {
	if r.err == nil {
		r.err = refusal{"bad_request", name + " is missing, or of the wrong form"}
	}
}

// read gives the zero value for what is missing or null, as well as for what is of another type.
func read[T any](r *request, name string, fallback *T) T {
	var value *T
	raw, found := r.members[name]
	switch {
	case !found && fallback != nil:
		value = fallback
	case !found || json.Unmarshal(raw, &value) != nil || value == nil:
		r.wrong(name)
		value = new(T)
	}
	return *value
}

func (r *request) text(name string) string { return read[string](r, name, nil) }

func (r *request) hexed(name string) []byte {
	text := r.text(name)
	if !lowerHex.MatchString(text) {
		r.wrong(name)
		return nil
	}
	data, _ := hex.DecodeString(text)
	return data
}

// seconds are from 0 to 2^63.
func (r *request) seconds(name string) float64 {
	value := read[float64](r, name, nil)
	if !(value >= 0 && value < 1<<63) {
		r.wrong(name)
	}
	return value
}

func (r *request) now() time.Time {
	whole, part := math.Modf(r.seconds("now"))
	return time.Unix(int64(whole), int64(math.Round(part*1e9)))
}

// answer is the line that goes back.
func answer(id json.RawMessage, ok any, err error) []byte {
	reply := map[string]any{"id": id, "ok": ok}
	if err != nil {
		kind := ""
		if asked, is := err.(refusal); is {
			kind = asked.kind
		} else {
			kind = kindOf(err)
		}
		reply = map[string]any{"id": id, "error": map[string]string{"kind": kind, "text": err.Error()}}
	}
	line, err := json.Marshal(reply)
	if err != nil {
		panic(fmt.Sprintf("what is answered is no JSON: %v", err))
	}
	return append(line, '\n')
}
