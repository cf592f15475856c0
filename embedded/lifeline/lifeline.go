// Package lifeline ties a child process to its parent: the parent holds the writing end of a pipe that nobody writes to,
// the child exits when the reading end closes. Unlike Linux's parent-death signal it works on every Unix, has no moment
// between fork and the request in which the parent may already be gone, and does not depend on the parent's threads.
package lifeline

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

const variable = "IDP_LIFELINE_FD"

// Line is the parent's end: the children that Attach tied to it exit when it is closed or when this process ends.
type Line struct {
	reader, writer *os.File
}

// New makes a line.
func New() (*Line, error) {
	r, w, err := os.Pipe() // both ends are close-on-exec: only ExtraFiles hands one to a child
	if err != nil {
		return nil, fmt.Errorf("making the pipe that ties children to this process: %w", err)
	}
	return &Line{reader: r, writer: w}, nil
}

// Attach makes cmd, not yet started, end with the line. cmd.Env must be set already.
func (l *Line) Attach(cmd *exec.Cmd) {
	cmd.ExtraFiles = append(cmd.ExtraFiles, l.reader)
	cmd.Env = append(cmd.Env, variable+"="+strconv.Itoa(2+len(cmd.ExtraFiles)))
}

// Close ends every attached child.
func (l *Line) Close() error {
	_ = l.reader.Close()
	return l.writer.Close()
}

// Watch ends this process when its line closes. Without a line it does nothing.
func Watch() {
	fd, err := strconv.Atoi(os.Getenv(variable))
	if err != nil {
		return
	}
	_ = os.Unsetenv(variable)
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		_, _ = file.Read(make([]byte, 1))
		// Exit hooks may block on a peer that is gone as well.
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}()
}
