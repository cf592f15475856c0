package memory

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// releaseProgram unmaps the pages of the program's own read-only parts. They stay in the page cache, shared by all processes
// of the program; what is used is mapped again at its next use.
func releaseProgram() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range untouched(string(smaps), self) {
		// The address is one of the kernel's, not of Go's heap; a refusal leaves things as they are.
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), m.start)), m.size), unix.MADV_DONTNEED)
	}
}

type mapping struct {
	start uintptr
	size  int
}

// untouched finds, in the text of /proc/<pid>/smaps, the mappings of file that hold nothing but the file's content. Being
// read-only isn't enough: what the dynamic linker has written is read-only too, and lost when it is unmapped.
func untouched(smaps, file string) []mapping {
	var found []mapping
	var current mapping
	candidate := false
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if !strings.HasSuffix(fields[0], ":") {
			current, candidate = readOnly(fields, file)
			continue
		}
		if candidate && fields[0] == "Anonymous:" && len(fields) > 1 && fields[1] == "0" {
			found = append(found, current)
		}
	}
	return found
}

// readOnly reads the first line of a mapping and says whether it is a private one of file that can't be written to.
func readOnly(fields []string, file string) (mapping, bool) {
	if len(fields) < 6 || strings.Join(fields[5:], " ") != file || strings.Contains(fields[1], "w") || !strings.HasSuffix(fields[1], "p") {
		return mapping{}, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	first, err1 := strconv.ParseUint(from, 16, 64)
	last, err2 := strconv.ParseUint(to, 16, 64)
	if err1 != nil || err2 != nil || last <= first {
		return mapping{}, false
	}
	return mapping{start: uintptr(first), size: int(last - first)}, true
}
