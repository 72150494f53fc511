// SPDX-License-Identifier: Apache-2.0

//go:build e4clock

package main

import "time"

const hasClock = true

// setClock makes it the time for all that runs here.
func setClock(now time.Time) {
	time.Clock = func() time.Time { return now }
}
