package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a process that can be recognised later: a process id alone may have been given to another one.
type Process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start string `json:"start"` // when it was started, in the system's own terms; see StartTime
}

// Processes is run/processes.json.
type Processes struct {
	Supervisor Process   `json:"supervisor"`
	Children   []Process `json:"children"`
}

// Identify describes the running process pid.
func Identify(name string, pid int) (Process, error) {
	start, err := StartTime(pid)
	return Process{Name: name, PID: pid, Start: start}, err
}

// Alive says whether the process still runs. A zombie doesn't.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, err := StartTime(p.PID)
	return err == nil && start == p.Start
}

// Kill ends the process and its process group for good and waits up to timeout for it to be gone.
func (p Process) Kill(timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for p.Alive() {
		// The group has the helpers (git, helm) that the process started.
		if err := syscall.Kill(-p.PID, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d (%s) does not end: end it by hand (kill -9 %d)", p.PID, p.Name, p.PID)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// StartTime says when process pid was started: on Linux the boot's id and the kernel's start ticks, elsewhere ps's lstart.
func StartTime(pid int) (string, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if _, statErr := os.Stat("/proc/self/stat"); statErr == nil {
			return "", err
		}
		out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output()
		if start := strings.TrimSpace(string(out)); err == nil && start != "" {
			return start, nil
		}
		return "", fmt.Errorf("process %d: not found", pid)
	}
	// The command's name, in parentheses, may hold anything; what follows its end is counted from field 3 (the state).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("process %d: unexpected /proc/%d/stat", pid, pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", fmt.Errorf("process %d: ended", pid)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(boot)) + "/" + fields[19], nil
}
