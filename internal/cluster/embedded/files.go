package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Free disk, in bytes, without which there is no point in starting.
const (
	roomForCluster = 512 << 20
	roomForBuild   = 4 << 30
)

func dirOf(path string) string { return filepath.Dir(path) }

// writeJSON replaces a file by value's JSON in one step, readable by this user alone.
func writeJSON(file string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(dirOf(file), "."+filepath.Base(file)+".tmp-*")
	if err != nil {
		return explain(err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when the rename worked
	_, err = tmp.Write(append(data, '\n'))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return explain(fmt.Errorf("writing %s: %w", file, err))
	}
	return explain(os.Rename(tmp.Name(), file))
}

func readJSON(file string, value any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// removeAll removes a folder into which a process that is just ending may still write.
func removeAll(dir string) error {
	var err error
	for range 20 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

const diskFull = "the disk is full: make room (idp's caches are under XDG_CACHE_HOME/idp and can be removed) and run the command again"

// explain says what to do about errors of the file system that the user can do something about.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %s", err, diskFull)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: choose folders of yours with XDG_STATE_HOME and XDG_CACHE_HOME", err)
	}
	return err
}

// explainText does the same for what another process printed.
func explainText(text string) string {
	if strings.Contains(text, syscall.ENOSPC.Error()) || strings.Contains(text, syscall.EDQUOT.Error()) {
		return text + "\n" + diskFull
	}
	return text
}

// enoughRoom refuses to start what would fill the disk.
func enoughRoom(dir string, want int64, what string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return nil // the writes themselves will say what is wrong
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < want { //nolint:unconvert // the fields' types differ between systems
		return fmt.Errorf("%s: %d MiB free, %s needs %d MiB: %s", dir, free>>20, what, want>>20, diskFull)
	}
	return nil
}

// tailOf is the end of a text file.
func tailOf(file string) string {
	const most = 2000
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return strings.TrimSpace(string(data))
}
