package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/platform"
)

// report is the platform's state as `idp status -o json` gives it.
type report struct {
	Cluster      clusterReport       `json:"cluster"`
	Nodes        []nodeReport        `json:"nodes"`
	Layers       []layerReport       `json:"layers"`
	Applications []applicationReport `json:"applications"`
	Ready        bool                `json:"ready"`

	endpoints  map[string]string // what answers on this host: name → URL
	kubeconfig string
	seconds    float64
}

type clusterReport struct {
	Name       string   `json:"name"`
	Provider   string   `json:"provider"`
	Kubernetes string   `json:"kubernetes"`
	UID        string   `json:"uid"`
	Simulated  []string `json:"simulated"`
}

type nodeReport struct {
	Name      string    `json:"name"`
	Pool      string    `json:"pool"`
	Ready     bool      `json:"ready"`
	Capacity  resources `json:"capacity"`
	Requested resources `json:"requested"`
}

type resources struct {
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
}

type layerReport struct {
	Name    string          `json:"name"`
	Key     string          `json:"key"`
	State   bootstrap.State `json:"state"`
	Seconds float64         `json:"seconds"`
	Objects int             `json:"objects"`
	Changed int             `json:"changed"`
	Error   string          `json:"error,omitempty"`
}

type applicationReport struct {
	Name    string `json:"name"`
	Stack   string `json:"stack"`
	Path    string `json:"path"`
	Sync    string `json:"sync"`
	Health  string `json:"health"`
	Chart   string `json:"chart"`
	Message string `json:"message,omitempty"`
}

// endpoints is a provider that knows which URLs answer on this host.
type endpoints interface {
	Endpoints(ctx context.Context) (map[string]string, error)
}

// newReport puts together what the cluster says. sources name where each Application's charts came from, as far as it is known.
func newReport(ctx context.Context, access *cluster.Access, provider cluster.Provider, prep *prepared, outcomes []bootstrap.Outcome, apps []gitops.Application, took time.Duration) (*report, error) {
	nodes, err := readNodes(ctx, access.Config)
	if err != nil {
		return nil, err
	}
	r := &report{
		Cluster:    newClusterReport(access.Info),
		Nodes:      nodes,
		kubeconfig: access.Kubeconfig,
		seconds:    took.Seconds(),
	}
	if host, ok := provider.(endpoints); ok {
		if r.endpoints, err = host.Endpoints(ctx); err != nil {
			return nil, err
		}
	}
	for _, o := range outcomes {
		r.Layers = append(r.Layers, newLayerReport(o))
	}
	r.Applications = applicationReports(prep.platform, prep.sources, apps)
	r.Ready = r.settled(prep.applications())
	return r, nil
}

func newClusterReport(info cluster.Info) clusterReport {
	simulated := info.Simulated
	if simulated == nil {
		simulated = []string{}
	}
	return clusterReport{Name: info.Name, Provider: info.Provider, Kubernetes: info.Kubernetes, UID: info.UID, Simulated: simulated}
}

func newLayerReport(o bootstrap.Outcome) layerReport {
	l := layerReport{Name: o.Name, Key: o.Key, State: o.State, Seconds: o.Seconds, Objects: o.Objects, Changed: o.Changed}
	if o.Err != nil {
		l.Error = o.Err.Error()
	}
	return l
}

func applicationReports(p *platform.Platform, sources map[string]string, apps []gitops.Application) []applicationReport {
	stacks := map[string]string{}
	for _, c := range p.Components() {
		stacks[c.App] = c.Stack
	}
	reports := []applicationReport{}
	for _, app := range apps {
		r := applicationReport{Name: app.Name, Stack: group(stacks[app.Name]), Path: app.Path, Sync: app.Sync, Health: app.Health, Chart: sources[app.Name]}
		if !app.Done("") {
			r.Message = firstLine(app.Message)
		}
		reports = append(reports, r)
	}
	return reports
}

// settled is the meaning of "ready": every layer applied or cached, every wanted Application Synced and Healthy.
func (r *report) settled(applications []string) bool {
	done := map[string]bool{}
	for _, app := range r.Applications {
		done[app.Name] = app.Sync == "Synced" && app.Health == "Healthy"
	}
	for _, name := range applications {
		if !done[name] {
			return false
		}
	}
	for _, layer := range r.Layers {
		if layer.State != bootstrap.StateApplied && layer.State != bootstrap.StateCached {
			return false
		}
	}
	return len(r.Layers) > 0
}

func (r *report) print(w io.Writer, o *options) error {
	if o.output == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	r.text(w, o)
	return nil
}

func (r *report) text(w io.Writer, o *options) {
	fmt.Fprintf(w, "\n%s: Kubernetes %s (%s)", r.Cluster.Name, r.Cluster.Kubernetes, r.Cluster.Provider)
	if r.seconds > 0 {
		fmt.Fprintf(w, ", %s after %.1fs", readiness(r.Ready), r.seconds)
	} else {
		fmt.Fprintf(w, ", %s", readiness(r.Ready))
	}
	fmt.Fprintln(w)
	if len(r.Cluster.Simulated) > 0 {
		fmt.Fprintf(w, "simulated here: %s\n", strings.Join(r.Cluster.Simulated, ", "))
	}
	table(w, "\nNODE\tPOOL\tREADY\tCPU (requested / capacity)\tMEMORY (requested / capacity)", func(row func(string, ...any)) {
		for _, n := range r.Nodes {
			row("%s\t%s\t%v\t%s / %s\t%s / %s", n.Name, n.Pool, n.Ready, n.Requested.CPU, n.Capacity.CPU, n.Requested.Memory, n.Capacity.Memory)
		}
	})
	table(w, "\nLAYER\tSTATE\tOBJECTS\tCHANGED\tSECONDS", func(row func(string, ...any)) {
		for _, l := range r.Layers {
			row("%s\t%s\t%d\t%d\t%.1f", l.Name, l.State, l.Objects, l.Changed, l.Seconds)
		}
	})
	if len(r.Applications) == 0 {
		r.next(w, o)
		return
	}
	table(w, "\nAPPLICATION\tSTACK\tSYNC\tHEALTH\tCHARTS\t", func(row func(string, ...any)) {
		for _, a := range r.Applications {
			row("%s\t%s\t%s\t%s\t%s\t%s", a.Name, a.Stack, a.Sync, a.Health, chartWords(a.Chart), a.Message)
		}
	})
	if len(r.endpoints) > 0 {
		table(w, "\nANSWERS AT\t", func(row func(string, ...any)) {
			for _, name := range sortedKeys(r.endpoints) {
				row("%s\t%s", name, r.endpoints[name])
			}
		})
	}
	r.next(w, o)
}

// next says what to type now.
func (r *report) next(w io.Writer, o *options) {
	flags := ""
	if o.cluster == "existing" {
		flags = " --cluster existing --context " + o.context
	} else if o.name != "idp" {
		flags = " --name " + o.name
	}
	fmt.Fprintln(w, "\nNext:")
	if r.kubeconfig != "" {
		fmt.Fprintf(w, "  export KUBECONFIG=%s\n", r.kubeconfig)
	}
	row := func(command, why string) { fmt.Fprintf(w, "  %-40s # %s\n", command, why) }
	row("kubectl get applications -A", "what Argo CD reconciles")
	row("idp up"+flags, "after an edit in IT/, K8s/ or Policies/: bring it to the cluster and wait")
	row("idp status"+flags, "nodes, layers, Applications")
	if o.cluster == "embedded" {
		row("idp down"+flags, "remove the cluster and all of its files")
	}
}

func readiness(ready bool) string {
	if ready {
		return "ready"
	}
	return "NOT ready"
}

func chartWords(source string) string {
	if source == "inventory" {
		return "inventory (simulated)"
	}
	return source
}

func table(w io.Writer, head string, body func(row func(string, ...any))) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, head)
	body(func(format string, args ...any) { fmt.Fprintf(tw, format+"\n", args...) })
	_ = tw.Flush()
}
