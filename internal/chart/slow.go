package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// A host that took longer than this to fail made the user wait.
	slowAnswer = time.Second
	// slowMemory is how long such a host isn't asked again.
	slowMemory = 5 * time.Minute
)

// slowHosts remembers, across runs, hosts that made the user wait for nothing: behind a firewall that swallows packets every `up`
// would wait again.
type slowHosts struct {
	dir string
}

func (s slowHosts) file(host string) string {
	return filepath.Join(s.dir, ".unreachable", hashHex([]byte(host))[:16])
}

// recent is an error if the host was found unreachable a short while ago.
func (s slowHosts) recent(host string) error {
	info, err := os.Stat(s.file(host))
	if err != nil {
		return nil
	}
	age := time.Since(info.ModTime())
	if age > slowMemory || age < 0 {
		return nil
	}
	return fmt.Errorf("%s didn't answer %s ago and is asked again %s from now (remove %s to ask at once)",
		host, age.Round(time.Second), (slowMemory - age).Round(time.Second), s.file(host))
}

// remember is a courtesy: a failure to write it costs time, nothing else.
func (s slowHosts) remember(host string) {
	_ = writeWhole(s.file(host), []byte(host+"\n"))
}
