// SPDX-License-Identifier: Apache-2.0

// Command port-e4go is e4go, by its public interface alone, behind the port protocol on standard input and output.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log"
	"os"
	"runtime/debug"
)

const lineMost = 1 << 20 // bytes of a request, newline included

// suites maps what e4go has to whether it is the public-key mode.
var suites = map[string]bool{"sk": false, "pk": true}

// operations need a device. One that crashes e4go ends this process, as it would end any other.
var operations = map[string]func(*device, *request) (any, error){
	"restart": func(d *device, _ *request) (any, error) { return d.restart() },
	"close":   func(d *device, _ *request) (any, error) { return d.close() },
	"show":    func(d *device, _ *request) (any, error) { return d.show() },
	"protect": func(d *device, r *request) (any, error) {
		payload, topic := r.hexed("payload"), r.text("topic")
		return at(r, func() (any, error) { return d.protect(payload, topic) })
	},
	"unprotect": func(d *device, r *request) (any, error) {
		data, topic := r.hexed("data"), r.text("topic")
		return at(r, func() (any, error) { return d.unprotect(data, topic) })
	},
	"command": func(d *device, r *request) (any, error) {
		data := r.hexed("data")
		return at(r, func() (any, error) { return d.command(data) })
	},
}

var whileClosed = map[string]bool{"restart": true, "close": true, "show": true}

// at does what was asked, in the second of the request, if the request is good.
func at(r *request, act func() (any, error)) (any, error) {
	now := r.now()
	if r.err != nil {
		return nil, r.err
	}
	setClock(now)
	return act()
}

type port struct{ device *device }

func (p *port) answer(line []byte) []byte {
	r := parse(line)
	if r.err != nil {
		return answer(nil, nil, r.err)
	}
	id := r.id()
	do := r.text("do")
	if r.err != nil {
		return answer(id, nil, r.err)
	}
	ok, err := p.act(do, r)
	return answer(id, ok, err)
}

func (p *port) act(do string, r *request) (any, error) {
	switch do {
	case "about":
		return about(), nil
	case "provision":
		return p.provision(r)
	}
	operation, found := operations[do]
	switch {
	case !found:
		return nil, refusal{"unsupported", "e4go has no " + do}
	case p.device == nil:
		return nil, refusal{"not_provisioned", "provision the device first"}
	case p.device.isClosed && !whileClosed[do]:
		return nil, refusal{"closed", "the device was stopped; restart it"}
	}
	return operation(p.device, r)
}

func about() any {
	capabilities := []string{}
	if hasClock {
		capabilities = append(capabilities, "clock")
	}
	return map[string]any{
		"protocol":     1,
		"name":         "e4go",
		"version":      version(),
		"suites":       []string{"pk", "sk"},
		"capabilities": capabilities,
		"limits":       map[string]int{"line": lineMost},
	}
}

// version of e4go, as the build has it.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, each := range info.Deps {
		if each.Path == "github.com/teserakt-io/e4go" {
			if each.Replace != nil {
				return "unknown, from a folder"
			}
			return each.Version
		}
	}
	return "unknown"
}

func (p *port) provision(r *request) (any, error) {
	isPublic, found := suites[r.text("suite")]
	id, private, c2Public := r.hexed("client_id"), r.hexed("private"), r.hexed("c2_public")
	r.seconds("skew_s") // e4go tolerates no sender that is ahead of it, whatever is asked for: a deviation for the kit to find
	yes, none := true, []string{}
	needsClock, repeats := read(r, "clock", &yes), read(r, "repeats", &none)
	switch {
	case r.err != nil:
		return nil, r.err
	case !found || !needsClock || len(repeats) > 0:
		return nil, refusal{"unsupported", "e4go has the suites sk and pk, with a clock, and flags no repeats"}
	}
	device, err := newDevice(isPublic, id, private, c2Public)
	if err != nil {
		return nil, err
	}
	p.device = device
	return struct{}{}, nil
}

// lines gives every whole line, and nil for one that is too long. What has no newline at the end is left out.
func lines(from io.Reader, each func([]byte)) error {
	reader := bufio.NewReaderSize(from, lineMost)
	isLong := false
	for {
		line, err := reader.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			isLong = true
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case isLong:
			isLong = false
			each(nil)
		default:
			each(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
}

func main() {
	port := &port{}
	err := lines(os.Stdin, func(line []byte) {
		reply := answer(nil, nil, refusal{"bad_request", "a request has at most 1048576 bytes"})
		if line != nil {
			reply = port.answer(line)
		}
		if _, err := os.Stdout.Write(reply); err != nil {
			log.Fatal(err)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}
