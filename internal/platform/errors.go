package platform

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// InputError is one thing that is wrong with a file of the checkout. Load joins all of them, so that one run shows everything.
type InputError struct {
	File string // repo-relative, with slashes
	Line int    // 1-based; 0 where the file as a whole is meant
	Msg  string // what is wrong
	Hint string // what to do; may be empty
}

// Error gives "file:line: message; hint".
func (e *InputError) Error() string {
	text := e.File
	if e.Line > 0 {
		text = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	text += ": " + e.Msg
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// findings collects what is wrong, in the order it is found.
type findings struct {
	list []*InputError
}

func (f *findings) add(e *InputError) {
	f.list = append(f.list, e)
}

// err joins the findings, sorted by file and line; nil when there are none.
func (f *findings) err() error {
	slices.SortStableFunc(f.list, func(a, b *InputError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	joined := make([]error, 0, len(f.list))
	for _, e := range f.list {
		joined = append(joined, e)
	}
	return errors.Join(joined...)
}
