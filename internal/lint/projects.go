package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const argoGroup = "argoproj.io"

// projectForbids: Argo CD refuses to sync a component with an object that its project doesn't allow. The project of a stack has its name.
func projectForbids(w *world, report report) {
	for _, o := range w.objects {
		project := w.projectOf(o)
		if project == nil {
			continue
		}
		kind := o.GroupVersionKind().GroupKind()
		switch {
		case o.namespace == "" && !slices.ContainsFunc(project.list("spec", "clusterResourceWhitelist"), func(a map[string]any) bool { return allows(a, kind) }):
			report(o, fmt.Sprintf("the project %s doesn't allow the kind %s", project.GetName(), kind), "add it to the clusterResources of the stack in "+project.component.Path+", or leave the object to a layer")
		case o.namespace != "" && !slices.ContainsFunc(project.list("spec", "destinations"), func(d map[string]any) bool { return like(d, "namespace", o.namespace) }):
			report(o, fmt.Sprintf("the project %s doesn't allow the namespace %s", project.GetName(), o.namespace), "add it to the namespaces of the stack in "+project.component.Path+", or put the object elsewhere")
		}
	}
}

// projectIdle: what a project allows and its stack doesn't use is what a chart that was tampered with may use.
func projectIdle(w *world, report report) {
	for _, s := range w.platform.Stacks {
		project := w.projectNamed(s.Name)
		if project == nil || !s.Enabled {
			continue
		}
		for _, allowed := range project.list("spec", "clusterResourceWhitelist") {
			if !slices.ContainsFunc(w.objects, func(o *object) bool {
				return o.component.Stack == s.Name && o.namespace == "" && allows(allowed, o.GroupVersionKind().GroupKind())
			}) {
				report(project, fmt.Sprintf("it allows %s.%s, which the stack doesn't use", nestedText(allowed, "kind"), nestedText(allowed, "group")), "take it out of the clusterResources of the stack")
			}
		}
		for _, destination := range project.list("spec", "destinations") {
			if !slices.ContainsFunc(w.objects, func(o *object) bool {
				return o.component.Stack == s.Name && o.namespace != "" && like(destination, "namespace", o.namespace)
			}) {
				report(project, "it allows the namespace "+nestedText(destination, "namespace")+", which the stack doesn't use", "take it out of the namespaces of the stack")
			}
		}
	}
}

// projectOf is the project that a stack's object is synced in; nil for a layer's, and where the platform renders no projects.
func (w *world) projectOf(o *object) *object {
	if o.component.Stack == "" {
		return nil
	}
	return w.projectNamed(o.component.Stack)
}

func (w *world) projectNamed(name string) *object {
	for _, o := range w.objects {
		if o.is(argoGroup, "AppProject") && o.GetName() == name {
			return o
		}
	}
	return nil
}

func allows(entry map[string]any, kind schema.GroupKind) bool {
	return like(entry, "group", kind.Group) && like(entry, "kind", kind.Kind)
}

// like compares as Argo CD does, with * for anything.
func like(entry map[string]any, field, value string) bool {
	matches, err := path.Match(strings.ReplaceAll(nestedText(entry, field), "/", "_"), strings.ReplaceAll(value, "/", "_"))
	return err == nil && matches
}
