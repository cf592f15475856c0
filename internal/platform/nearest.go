package platform

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest gives the known word with the smallest edit distance to word, if one is near enough to be what was meant:
// at most two edits, and never more than half of the word; "" for none. Upper and lower case count as equal; of equally near words the
// first wins.
func Nearest(word string, known []string) string {
	limit := min(2, (len([]rune(word))+1)/2)
	best := ""
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// didYouMean is the hint for a word that is none of the known ones.
func didYouMean(word string, known []string, noun string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return fmt.Sprintf("there are no %s", noun)
	}
	sorted := slices.Sorted(slices.Values(known))
	return fmt.Sprintf("%s: %s", noun, strings.Join(sorted, ", "))
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours that turn a into b
// (optimal string alignment). Words much longer than any key are cut, which bounds the work.
func distance(a, b string) int {
	x, y := cut([]rune(a)), cut([]rune(b))
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			rows[i][j] = step(rows, x, y, i, j)
		}
	}
	return rows[len(x)][len(y)]
}

func step(rows [][]int, x, y []rune, i, j int) int {
	change := 1
	if x[i-1] == y[j-1] {
		change = 0
	}
	best := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
	if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
		best = min(best, rows[i-2][j-2]+1)
	}
	return best
}

func cut(r []rune) []rune {
	return r[:min(len(r), 100)]
}
