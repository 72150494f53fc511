module e4-port-e4go

go 1.21

require (
	github.com/miscreant/miscreant.go v0.0.0-20190903041724-6bebe170cbaf
	github.com/teserakt-io/e4go v1.0.1
)
