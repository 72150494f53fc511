// SPDX-License-Identifier: Apache-2.0

//go:build !e4clock

package main

import "time"

const hasClock = false

func setClock(time.Time) {}
