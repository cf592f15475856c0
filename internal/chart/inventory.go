package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/idp-blueprint/idp/internal/platform"
)

// InventoryFile lies beside a component's Chart.yaml.
const InventoryFile = "inventory.yaml"

const (
	inventorySchema = 1
	// maxInventory bounds an inventory, in bytes.
	maxInventory = 8 << 20
)

// Inventory is what is known of a component's upstream charts from its last real render: enough to check an archive, to plan
// with, and to stand in for the chart where it can't be had. Facts only, no template and no program of the chart.
type Inventory struct {
	Schema     int     `yaml:"schema"`
	Kubernetes string  `yaml:"kubernetes"` // version that the charts were rendered for
	Charts     []Chart `yaml:"charts"`
}

// Chart is one upstream chart of a component.
type Chart struct {
	Name       string `yaml:"name"`
	Alias      string `yaml:"alias,omitempty"`
	Version    string `yaml:"version"`
	AppVersion string `yaml:"appVersion,omitempty"`
	Repository string `yaml:"repository"`
	URL        string `yaml:"url,omitempty"`    // of the published archive
	SHA256     string `yaml:"sha256,omitempty"` // of the published archive; empty where no index gave it
	Files      string `yaml:"files"`            // digest over the unpacked files; see filesDigest

	Images     []string         `yaml:"images,omitempty"`
	Workloads  []Workload       `yaml:"workloads,omitempty"`
	Services   []Service        `yaml:"services,omitempty"`
	ConfigMaps []ConfigMap      `yaml:"configMaps,omitempty"`
	Secrets    []Secret         `yaml:"secrets,omitempty"`
	CRDs       []CRD            `yaml:"crds,omitempty"`
	Module     *Module          `yaml:"module,omitempty"`  // where the CRDs' schemas come from
	Objects    []map[string]any `yaml:"objects,omitempty"` // everything else that others depend on, in Kubernetes' own fields
	Omitted    map[string]int   `yaml:"omitted,omitempty"` // objects that are only counted, by kind

	Keys map[string]inline `yaml:"keys,omitempty"` // values keys by place ("/", "/operator", …)
	Free inline            `yaml:"free,omitempty"` // places below which any key is right
}

// Workload is a Deployment, StatefulSet, DaemonSet, Job or CronJob.
type Workload struct {
	APIVersion   string            `yaml:"apiVersion"`
	Kind         string            `yaml:"kind"`
	Name         string            `yaml:"name"`
	Namespace    string            `yaml:"namespace,omitempty"` // empty: the release's
	Labels       map[string]string `yaml:"labels,omitempty"`
	Annotations  map[string]string `yaml:"annotations,omitempty"` // hooks only
	Replicas     *int64            `yaml:"replicas,omitempty"`
	Selector     map[string]any    `yaml:"selector,omitempty"`
	ServiceName  string            `yaml:"serviceName,omitempty"`
	Schedule     string            `yaml:"schedule,omitempty"`
	Strategy     map[string]any    `yaml:"strategy,omitempty"`     // a Deployment's strategy, the others' updateStrategy
	VolumeClaims []map[string]any  `yaml:"volumeClaims,omitempty"` // a StatefulSet's claim templates
	Pod          Pod               `yaml:"pod"`
}

// Pod is the part of a pod template that decides where it runs, what it takes, and who finds it.
type Pod struct {
	Labels                        map[string]string `yaml:"labels,omitempty"`
	ServiceAccountName            string            `yaml:"serviceAccountName,omitempty"`
	PriorityClassName             string            `yaml:"priorityClassName,omitempty"`
	HostNetwork                   bool              `yaml:"hostNetwork,omitempty"`
	HostPID                       bool              `yaml:"hostPID,omitempty"`
	RestartPolicy                 string            `yaml:"restartPolicy,omitempty"`
	TerminationGracePeriodSeconds *int64            `yaml:"terminationGracePeriodSeconds,omitempty"`
	NodeSelector                  map[string]string `yaml:"nodeSelector,omitempty"`
	Affinity                      map[string]any    `yaml:"affinity,omitempty"`
	Tolerations                   []any             `yaml:"tolerations,omitempty"`
	TopologySpreadConstraints     []any             `yaml:"topologySpreadConstraints,omitempty"`
	SecurityContext               map[string]any    `yaml:"securityContext,omitempty"`
	Volumes                       []any             `yaml:"volumes,omitempty"` // claims only
	InitContainers                []Container       `yaml:"initContainers,omitempty"`
	Containers                    []Container       `yaml:"containers"`
}

// Container is one container's image and share of the node.
type Container struct {
	Name            string         `yaml:"name"`
	Image           string         `yaml:"image"`
	RestartPolicy   string         `yaml:"restartPolicy,omitempty"` // Always: a sidecar
	Resources       map[string]any `yaml:"resources,omitempty"`
	Ports           []any          `yaml:"ports,omitempty"`
	SecurityContext map[string]any `yaml:"securityContext,omitempty"`
}

// Service is a Service with what routes and monitors need of it.
type Service struct {
	Name      string            `yaml:"name"`
	Namespace string            `yaml:"namespace,omitempty"`
	Labels    map[string]string `yaml:"labels,omitempty"`
	Type      string            `yaml:"type,omitempty"`
	ClusterIP string            `yaml:"clusterIP,omitempty"` // None: headless
	Selector  map[string]string `yaml:"selector,omitempty"`
	Ports     []any             `yaml:"ports,omitempty"`
}

// ConfigMap is a ConfigMap's name and keys, and of its data just what this component's own values put there: what the chart
// brings along is the chart's.
type ConfigMap struct {
	Name        string            `yaml:"name"`
	Namespace   string            `yaml:"namespace,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"` // hooks only
	Keys        []string          `yaml:"keys,omitempty"`
	Data        map[string]string `yaml:"data,omitempty"`
}

// Secret is a Secret's name and keys, never its data.
type Secret struct {
	Name        string            `yaml:"name"`
	Namespace   string            `yaml:"namespace,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"` // hooks only
	Type        string            `yaml:"type,omitempty"`
	Keys        []string          `yaml:"keys,omitempty"`
}

// CRD is a CustomResourceDefinition without its schema.
type CRD struct {
	Name       string       `yaml:"name"`
	Group      string       `yaml:"group"`
	Scope      string       `yaml:"scope"`
	Kind       string       `yaml:"kind"`
	ListKind   string       `yaml:"listKind,omitempty"`
	Plural     string       `yaml:"plural"`
	Singular   string       `yaml:"singular,omitempty"`
	ShortNames []string     `yaml:"shortNames,omitempty"`
	Categories []string     `yaml:"categories,omitempty"`
	Versions   []CRDVersion `yaml:"versions"`
	Webhook    bool         `yaml:"webhook,omitempty"` // versions are converted by a webhook
	File       string       `yaml:"file,omitempty"`    // in the module's folder; empty: no module ships it
}

// CRDVersion is a version of a CRD.
type CRDVersion struct {
	Name    string `yaml:"name"`
	Served  bool   `yaml:"served"`
	Storage bool   `yaml:"storage,omitempty"`
	Status  bool   `yaml:"status,omitempty"` // has a status subresource
}

// Module is a pinned Go module that ships a chart's CRDs.
type Module struct {
	Path    string `yaml:"path"`
	Version string `yaml:"version"`
	Sum     string `yaml:"sum"` // as in go.sum
	Folder  string `yaml:"folder"`
}

// ReadInventory reads the inventory of the component at path (repo-relative). A component without one gets an empty Inventory.
func ReadInventory(root, component string) (Inventory, error) {
	name := path.Join(component, InventoryFile)
	file := filepath.Join(root, filepath.FromSlash(name))
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Inventory{}, nil
	}
	if err != nil {
		return Inventory{}, err
	}
	if info.Size() > maxInventory {
		return Inventory{}, &platform.InputError{File: name, Msg: fmt.Sprintf("more than %d MiB, which no inventory has", maxInventory>>20), Hint: relock}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Inventory{}, err
	}
	return parseInventory(name, data)
}

const relock = "don't edit it by hand; `idp lock` writes it"

var yamlLine = regexp.MustCompile(`line ([0-9]+): `)

func parseInventory(name string, data []byte) (Inventory, error) {
	var inventory Inventory
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&inventory); err != nil {
		wrong := &platform.InputError{File: name, Msg: strings.ReplaceAll(err.Error(), "\n", " "), Hint: relock}
		if line := yamlLine.FindStringSubmatch(err.Error()); line != nil {
			wrong.Line, _ = strconv.Atoi(line[1])
		}
		return Inventory{}, wrong
	}
	if err := inventory.validate(name); err != nil {
		return Inventory{}, err
	}
	return inventory, nil
}

var (
	hexDigest     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	digestOfFiles = regexp.MustCompile(`^h1:[0-9a-f]{64}$`)
	moduleSum     = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	plainFolder   = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
)

func (i Inventory) validate(name string) error {
	var wrong []error
	add := func(format string, args ...any) {
		wrong = append(wrong, &platform.InputError{File: name, Msg: fmt.Sprintf(format, args...), Hint: relock})
	}
	if i.Schema != inventorySchema {
		add("it is of schema %d, this program reads %d", i.Schema, inventorySchema)
	}
	seen := map[string]bool{}
	for _, c := range i.Charts {
		if !chartName.MatchString(c.Name) || !chartVersion.MatchString(c.Version) {
			add("a chart has no usable name and version: %q %q", c.Name, c.Version)
		}
		if seen[c.Name+" "+c.Alias] {
			add("chart %s is there twice", c.Name)
		}
		seen[c.Name+" "+c.Alias] = true
		if c.SHA256 != "" && !hexDigest.MatchString(c.SHA256) {
			add("chart %s: sha256 has to be 64 hex digits", c.Name)
		}
		if !digestOfFiles.MatchString(c.Files) {
			add("chart %s: files has to be h1: and 64 hex digits", c.Name)
		}
		if m := c.Module; m != nil && (!moduleSum.MatchString(m.Sum) || !inside(m.Folder)) {
			add("chart %s: module %s has no usable sum and folder: %q %q", c.Name, m.Path, m.Sum, m.Folder)
		}
		for _, crd := range c.CRDs {
			if !plainFolder.MatchString(crd.Name) || crd.File != "" && !inside(crd.File) {
				add("chart %s: CRD %q has no usable name and file %q", c.Name, crd.Name, crd.File)
			}
			if len(crd.Versions) == 0 {
				add("chart %s: CRD %q has no version", c.Name, crd.Name)
			}
		}
	}
	return errors.Join(wrong...)
}

// inside is true for a path that can't lead out of its folder.
func inside(p string) bool {
	return plainFolder.MatchString(p) && filepath.IsLocal(filepath.FromSlash(p))
}

// chart gives the facts about a dependency, nil where the inventory is of another version.
func (i Inventory) chart(dep platform.Dependency) *Chart {
	for n := range i.Charts {
		if c := &i.Charts[n]; c.Name == dep.Name && c.Alias == dep.Alias && c.Version == dep.Version {
			return c
		}
	}
	return nil
}

// Bytes is the inventory as it stands in a file: the same facts, the same bytes.
func (i Inventory) Bytes() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# Written by `idp lock`: facts of the last render of this component's upstream charts. Don't edit it by hand.\n")
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(i); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// inline is a list of names on one line: keys by the hundred, which people search and don't read.
type inline []string

// MarshalYAML writes the list in flow style.
func (l inline) MarshalYAML() (any, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, name := range l {
		item := &yaml.Node{}
		item.SetString(name)
		node.Content = append(node.Content, item)
	}
	return node, nil
}
