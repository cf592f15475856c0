package supervisor

import (
	"bufio"
	"io"
	"strings"
)

const longestLine = 300 // characters of a log line that are worth showing

// lastLines returns the last n lines of r, long ones cut.
func lastLines(r io.Reader, n int) string {
	var kept []string
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		line := scanner.Text()
		if len(line) > longestLine {
			line = line[:longestLine] + "…"
		}
		kept = append(kept, "  "+line)
		if len(kept) > n {
			kept = kept[1:]
		}
	}
	return strings.Join(kept, "\n")
}
