// Package lint checks what the components of a platform render: each object for itself, and all of them against one another, the
// nodes, the layers' order and the secrets that are seeded. It is pure: rendered objects and facts in, findings out.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
)

// Input is all that is checked. Rules look across components, so it is the whole platform, whatever is asked about.
type Input struct {
	Platform   *platform.Platform
	Components []Component            // every component that runs, rendered
	Values     []*platform.InputError // keys of values files that no chart knows, as chart.CheckValues finds them
	Exceptions []platform.Exception   // of all components
	Secrets    Secrets                // nil: what is seeded isn't known, and keys aren't checked
	Today      time.Time              // decides which exceptions are over
}

// Component is a component with what it renders.
type Component struct {
	platform.Component
	Objects []render.Object
}

// Finding is one thing that is wrong.
type Finding struct {
	Rule      string `json:"rule"`
	Component string `json:"component"` // its Application
	File      string `json:"file"`      // repo-relative: the component's folder, or the file that is to be put right
	Line      int    `json:"line,omitempty"`
	Object    Object `json:"object,omitzero"`
	Message   string `json:"message"`
	Fix       string `json:"fix"`
}

// Object names a rendered object. It is empty where the finding is about a file.
type Object struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is "Kind namespace/name".
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// String is the finding on two lines: where and what, then what to do.
func (f Finding) String() string {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	if f.Object != (Object{}) {
		where += ": " + f.Object.String()
	}
	return fmt.Sprintf("%s: %s [%s]\n    %s", where, f.Message, f.Rule, f.Fix)
}

// Run gives the findings that no exception lets pass, in the order of the components.
func Run(in Input) []Finding {
	w := newWorld(in)
	var found []Finding
	for _, r := range rules() {
		r.check(w, func(o *object, message, fix string) {
			found = append(found, Finding{
				Rule: r.ID, Component: o.component.App, File: o.component.Path, Object: o.ref(), Message: message, Fix: fix,
			})
		})
	}
	found = append(found, unknownValues(in)...)
	found = append(found, idleGates(w)...)
	found = except(found, in.Exceptions, in.Today)
	order := map[string]int{}
	for i, c := range in.Components {
		order[c.App] = i
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.Component], order[b.Component]), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Object.String(), b.Object.String()), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(found)
}
