package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lock is a file that one process at a time holds. The kernel gives it back when the process ends, however it ends.
type lock struct{ file *os.File }

// heldError says that another process holds a lock.
type heldError struct{ pid string }

func (e *heldError) Error() string { return "held by another process" + e.who() }

func (e *heldError) who() string {
	if e.pid == "" {
		return ""
	}
	return fmt.Sprintf(" (process %s)", e.pid)
}

// acquire takes the lock or returns a *heldError at once.
func acquire(path string) (*lock, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, explain(err)
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, _ := os.ReadFile(path)
			return nil, errors.Join(&heldError{pid: strings.TrimSpace(string(pid))}, file.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
		}
		// The one who held it may have removed the file; then this is a lock on nothing.
		mine, err1 := file.Stat()
		there, err2 := os.Stat(path)
		if err1 != nil || err2 != nil || !os.SameFile(mine, there) {
			_ = file.Close()
			if err := os.MkdirAll(dirOf(path), 0o700); err != nil {
				return nil, explain(err)
			}
			continue
		}
		if err := file.Truncate(0); err != nil {
			return nil, errors.Join(explain(err), file.Close())
		}
		if _, err := fmt.Fprintln(file, os.Getpid()); err != nil {
			return nil, errors.Join(explain(err), file.Close())
		}
		return &lock{file: file}, nil
	}
}

func (l *lock) release() error { return l.file.Close() }

// endHolder ends the process that holds the lock at path, if one does: a supervisor that was started a moment ago has not
// written down yet who it is.
func endHolder(path string, bound time.Duration) error {
	deadline := time.Now().Add(bound)
	for {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		data, _ := io.ReadAll(io.LimitReader(file, 20))
		if err := errors.Join(file.Close()); err != nil {
			return err
		}
		if err == nil {
			return nil
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: process %s holds it and does not end after %s", path, data, bound)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
