package embedded

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

// process is one that the supervisor wrote down. Its start time tells it from a later process with the same id.
type process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

// processes is run/processes.json, as the supervisor writes it.
type processes struct {
	Supervisor process   `json:"supervisor"`
	Children   []process `json:"children"`
}

// alive says whether the process still runs.
func (p process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

// end kills the process and its group and waits at most bound for its end.
func (p process) end(bound time.Duration) error {
	deadline := time.Now().Add(bound)
	for p.alive() {
		if err := syscall.Kill(-p.PID, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d (%s) does not end after %s: end it by hand (kill -9 %d) and run the command again", p.PID, p.Name, bound, p.PID)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// startTime says when a process was started, in the same terms as the program in embedded/.
func startTime(pid int) (string, error) {
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
	return parseStat(stat)
}

// parseStat reads the start time from /proc/<pid>/stat. A process that has ended but was not waited for has none.
func parseStat(stat []byte) (string, error) {
	// The command's name, in parentheses, may hold anything; what follows its end is counted from field 3 (the state).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", errors.New("unexpected /proc/<pid>/stat")
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", errors.New("the process has ended")
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(boot)) + "/" + fields[19], nil
}

// running says whether there is a process pid that has not ended.
func running(pid int) bool {
	_, err := startTime(pid)
	return err == nil
}

// detach starts a program in a session of its own, so that neither the end of this process nor its terminal reach it. What it
// prints goes to the file log.
func detach(log, program string, args ...string) (pid int, err error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, explain(err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", program, explain(err))
	}
	pid = cmd.Process.Pid
	// Wait takes its exit status if it ends before this process does.
	go func() { _ = cmd.Wait() }()
	return pid, nil
}
