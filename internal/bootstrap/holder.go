package bootstrap

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// holder is a process that holds the lock.
type holder struct {
	host    string // for people
	machine string // tells machines, and process namespaces on one, apart; empty where the system doesn't say
	pid     int
	started string // tells processes apart that had the same pid; empty where the system doesn't say
}

func thisProcess() holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	pid := os.Getpid()
	started, _ := startOf(pid)
	return holder{host: host, machine: machine(), pid: pid, started: started}
}

func (h holder) String() string { return fmt.Sprintf("process %d on %s", h.pid, h.host) }

// machine is the same for two processes exactly if they see each other's pids.
func machine() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	pids, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "." + strings.Trim(pids, "pid:[]")
}

// startOf is when a process was started, in the kernel's ticks since boot; false for a process that is gone or dead.
func startOf(pid int) (string, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	// The second field, the name in parentheses, may hold anything; the state comes first after it, the start 20th.
	_, rest, found := strings.Cut(string(stat), ") ")
	for found && strings.Contains(rest, ") ") {
		_, rest, found = strings.Cut(rest, ") ")
	}
	fields := strings.Fields(rest)
	const state, started = 0, 19
	if len(fields) <= started || fields[state] == "Z" || fields[state] == "X" {
		return "", false
	}
	return fields[started], true
}

// gone says that a holder no longer runs, for sure; a holder that can't be seen from here is not gone.
func (h holder) gone(from holder) bool {
	if h.machine == "" || h.machine != from.machine || h.started == "" {
		return false
	}
	started, alive := startOf(h.pid)
	return !alive || started != h.started
}
