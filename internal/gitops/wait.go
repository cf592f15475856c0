package gitops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pollEvery is how often Wait looks: a LIST of some twenty Applications costs the API server about a millisecond.
const pollEvery = 200 * time.Millisecond

// Want is the state that Wait waits for.
type Want struct {
	Applications []string // exactly these exist, in this order of display
	Revision     string   // the commit they are at; empty: whatever their repository has
	Root         string   // the Application that makes the others: what else follows its repository and isn't wanted must go
}

// NotReadyError says which Applications were not as wanted when the wait ended.
type NotReadyError struct {
	Missing  []string
	Unwanted []string
	NotDone  []Application
	cause    error
}

func (e *NotReadyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Argo CD did not bring every Application to Synced and Healthy: %v", e.cause)
	for _, name := range e.Missing {
		fmt.Fprintf(&b, "\n  %s: its ApplicationSet has not created it", name)
	}
	for _, name := range e.Unwanted {
		fmt.Fprintf(&b, "\n  %s: its folder is gone, and so it should be, but Argo CD has not removed it yet", name)
	}
	for _, app := range e.NotDone {
		fmt.Fprintf(&b, "\n  %s: %s, %s at %.12s: %s", app.Name, orNone(app.Sync), orNone(app.Health), app.Revision, orNone(app.Message))
	}
	b.WriteString("\nlook at it with: idp status; then run idp up again, it goes on from here")
	return b.String()
}

func (e *NotReadyError) Unwrap() error { return e.cause }

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Wait follows the Applications until they are as wanted or ctx ends; seen gets each look at them.
func (a *ArgoCD) Wait(ctx context.Context, want Want, seen func([]Application)) ([]Application, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last *NotReadyError
	for {
		apps, err := a.Applications(ctx)
		if err == nil {
			seen(apps)
			last = want.unmet(apps)
			if last == nil {
				return apps, nil
			}
		} else if last == nil {
			last = &NotReadyError{Missing: want.Applications}
		}
		select {
		case <-ctx.Done():
			last.cause = errors.Join(context.Cause(ctx), err)
			return apps, last
		case <-ticker.C:
		}
	}
}

// unmet says what is missing to the wanted state, nil where nothing is.
func (w Want) unmet(apps []Application) *NotReadyError {
	var e NotReadyError
	found := map[string]Application{}
	for _, app := range apps {
		found[app.Name] = app
	}
	for _, app := range apps {
		if !slices.Contains(w.Applications, app.Name) {
			if app.Repo == found[w.Root].Repo {
				e.Unwanted = append(e.Unwanted, app.Name)
			}
			continue
		}
		if !app.Done(w.Revision) {
			e.NotDone = append(e.NotDone, app)
		}
	}
	for _, name := range w.Applications {
		if _, ok := found[name]; !ok {
			e.Missing = append(e.Missing, name)
		}
	}
	if len(e.Missing)+len(e.Unwanted)+len(e.NotDone) == 0 {
		return nil
	}
	return &e
}

// Met reports whether the Applications are as wanted already.
func (w Want) Met(apps []Application) bool { return w.unmet(apps) == nil }
