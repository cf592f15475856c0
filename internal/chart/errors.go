package chart

import (
	"errors"
	"fmt"
	"path"

	"github.com/idp-blueprint/idp/internal/platform"
)

var errOffline = errors.New("the network is off (--offline)")

// DigestError says that an archive isn't the chart that the inventory describes.
type DigestError struct {
	Name, Version string
	Where         string // path or URL of the archive
	What          string // which digest was compared
	Got, Want     string
}

// Error names both digests.
func (e *DigestError) Error() string {
	return fmt.Sprintf("chart %s %s from %s is refused: its %s is %s, the inventory says %s; remove the archive, or run `idp lock` if the "+
		"chart was meant to change", e.Name, e.Version, e.Where, e.What, e.Got, e.Want)
}

// ArchiveError says that a file is no chart archive, or not the one asked for.
type ArchiveError struct {
	Where string
	Msg   string
	Err   error
}

// Error says what is wrong with which file.
func (e *ArchiveError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Where, e.Msg)
	}
	return fmt.Sprintf("%s: %s: %v", e.Where, e.Msg, e.Err)
}

// Unwrap is the cause.
func (e *ArchiveError) Unwrap() error { return e.Err }

// networkError is a repository that couldn't be asked. It is the one failure for which something may stand in.
type networkError struct {
	url string
	err error
}

func (e *networkError) Error() string { return fmt.Sprintf("%s: %v", e.url, e.err) }
func (e *networkError) Unwrap() error { return e.err }

// unreachable tells a repository that couldn't be asked from one that gave a wrong answer.
func unreachable(err error) bool {
	var network *networkError
	return errors.Is(err, errOffline) || errors.As(err, &network)
}

// explain adds the place in Chart.yaml, why nothing stood in for the chart, and what to do.
func (r *Resolver) explain(c platform.Component, dep platform.Dependency, inventory Inventory, err error) error {
	file := dep.Name + "-" + dep.Version + archiveExt
	hint := ""
	switch {
	case errors.Is(err, errOffline):
		hint = fmt.Sprintf("run `idp charts pull` without --offline, or fetch it elsewhere and run `idp charts import %s`", file)
	case unreachable(err):
		hint = fmt.Sprintf("connect to %s, or fetch it elsewhere and run `idp charts import %s`", dep.Repository, file)
	}
	return &inputError{&platform.InputError{
		File: path.Join(c.Path, "Chart.yaml"), Line: dep.Line,
		Msg:  fmt.Sprintf("can't get chart %s %s: %v%s", dep.Name, dep.Version, err, r.whyNoStandIn(dep, inventory)),
		Hint: hint,
	}, err}
}

// whyNoStandIn is worth saying only where a stand-in was wanted.
func (r *Resolver) whyNoStandIn(dep platform.Dependency, inventory Inventory) string {
	if !r.options.StandIns {
		return ""
	}
	if r.options.Strict {
		return " (--strict allows no stand-in)"
	}
	for _, c := range inventory.Charts {
		if c.Name == dep.Name && c.Alias == dep.Alias && c.Version != dep.Version {
			return fmt.Sprintf(" (nothing can stand in: the inventory is of version %s)", c.Version)
		}
	}
	return " (nothing can stand in: there is no inventory of it)"
}

// inputError is a platform.InputError that keeps its cause.
type inputError struct {
	*platform.InputError
	err error
}

// Unwrap gives both, the place and the cause.
func (e *inputError) Unwrap() []error { return []error{e.InputError, e.err} }
