package state

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

const (
	endingTries = 20
	endingWait  = 50 * time.Millisecond
)

// Loopback is the only address anything listens on.
const Loopback = "127.0.0.1"

// Ports are the loopback ports of a cluster by what listens there; they are kept over restarts.
type Ports map[string]int

// Keep returns the port of name: the one it had if that is free, a fresh one otherwise. changed says which.
func (p Ports) Keep(name string) (port int, changed bool, err error) {
	if port := p[name]; port != 0 && free(port) {
		return port, false, nil
	}
	l, err := net.Listen("tcp", Loopback+":0")
	if err != nil {
		return 0, false, fmt.Errorf("no free port on %s for %s: %w", Loopback, name, err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, false, err
	}
	p[name] = port
	return port, true, nil
}

// Address is host:port of name.
func (p Ports) Address(name string) string {
	return net.JoinHostPort(Loopback, strconv.Itoa(p[name]))
}

// free says whether nobody listens on the port. It gives a process that is just ending, threads and all, a moment.
func free(port int) bool {
	for range endingTries {
		if unused(port) {
			return true
		}
		time.Sleep(endingWait)
	}
	return false
}

func unused(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(Loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
