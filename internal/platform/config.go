package platform

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// ConfigFile is the file that parameterises a platform, at the root of its checkout.
const ConfigFile = "platform.yaml"

// PoolLabel is the node label that carries the name of a node's pool.
const PoolLabel = "idp.dev/pool"

const (
	maxNodesPerPool = 1000
	// Node names are <pool>-<number> and must stay DNS labels.
	maxPoolName = validation.DNS1123LabelMaxLength - len("-999")
)

// readConfig reads platform.yaml. The lines of the stacks it switches are kept for Load, which knows the stacks.
func readConfig(fsys fs.FS, root string, out *findings) (Config, map[string]int) {
	s := source{ConfigFile, out}
	config, stackLines := Config{}, map[string]int{}
	missing := fmt.Sprintf("it is looked for in %s; run idp in a checkout of the platform, or name the checkout with --source", root)
	if n := s.root(fsys, missing); n != nil {
		s.mapping("", n, s.topFields(&config, stackLines))
	}
	setDefaults(&config)
	return config, stackLines
}

func (s source) topFields(c *Config, stackLines map[string]int) []field {
	return []field{required("global", func(path string, n *yaml.Node) {
		s.mapping(path, n, s.globalFields(c, stackLines))
	})}
}

func (s source) globalFields(c *Config, stackLines map[string]int) []field {
	return []field{required("platform", func(path string, n *yaml.Node) {
		s.mapping(path, n, s.platformFields(c, stackLines))
	})}
}

func (s source) platformFields(c *Config, stackLines map[string]int) []field {
	return []field{
		optional("name", s.textWith(&c.Name, notLabel)),
		optional("domain", s.textWith(&c.Domain, notDomain)),
		optional("profile", s.oneOf(&c.Profile, profiles()...)),
		optional("git", func(path string, n *yaml.Node) { s.mapping(path, n, s.gitFields(&c.Git)) }),
		optional("kubernetes", func(path string, n *yaml.Node) { s.mapping(path, n, s.kubernetesFields(&c.Kubernetes)) }),
		optional("cluster", func(path string, n *yaml.Node) { s.mapping(path, n, s.clusterFields(&c.Cluster)) }),
		optional("stacks", s.switches(&c.Stacks, stackLines)),
	}
}

func (s source) gitFields(g *Git) []field {
	return []field{
		optional("url", s.text(&g.URL)),
		optional("revision", s.text(&g.Revision)),
	}
}

func (s source) kubernetesFields(k *Kubernetes) []field {
	return []field{
		optional("version", s.textWith(&k.Version, notKubernetesVersion)),
		optional("apiVersions", s.texts(&k.APIVersions, notAPIVersion)),
	}
}

func (s source) clusterFields(c *Cluster) []field {
	return []field{optional("pools", s.pools(&c.Pools))}
}

func (s source) pools(target *[]Pool) func(string, *yaml.Node) {
	first := map[string]int{}
	read := s.sequence(func(path string, n *yaml.Node) {
		var p Pool
		s.mapping(path, n, s.poolFields(&p))
		if line, doubled := first[p.Name]; doubled && p.Name != "" {
			s.add(n.Line, "give each pool a name of its own", "%s: the pool %q is already on line %d", path, p.Name, line)
		}
		first[p.Name] = n.Line
		*target = append(*target, withPoolDefaults(p))
	})
	return func(path string, n *yaml.Node) {
		read(path, n)
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			s.add(n.Line, "name one, or leave the key out for the default of three nodes", "%s has no pool", path)
		}
	}
}

func (s source) poolFields(p *Pool) []field {
	return []field{
		required("name", s.textWith(&p.Name, notPoolName)),
		optional("count", s.number(&p.Count, maxNodesPerPool)),
		optional("cpu", s.quantity(&p.CPU, nil)),
		optional("memory", s.quantity(&p.Memory, tooSmallForMemory)),
		optional("labels", s.stringMap(&p.Labels, func(key, value string) string { return notPoolLabel(key, value, p.Name) })),
		optional("taints", s.sequence(func(path string, n *yaml.Node) {
			var t Taint
			s.mapping(path, n, s.taintFields(&t))
			p.Taints = append(p.Taints, t)
		})),
	}
}

func (s source) taintFields(t *Taint) []field {
	return []field{
		required("key", s.textWith(&t.Key, notQualified)),
		optional("value", s.textWith(&t.Value, notLabelValue)),
		required("effect", s.oneOf(&t.Effect, "NoSchedule", "PreferNoSchedule", "NoExecute")),
	}
}

// oneOf reads one of a few words.
func (s source) oneOf(target *string, words ...string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		var value string
		s.text(&value)(path, n)
		switch {
		case slices.Contains(words, value):
			*target = value
		case n.Tag == "!!str":
			s.add(n.Line, didYouMean(value, words, "known values"), "%s: %q is not known", path, value)
		}
	}
}

// switches reads which stacks are on; lines gets where each is named.
func (s source) switches(target *map[string]bool, lines map[string]int) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		list, _ := s.entries(path, n)
		values := make(map[string]bool, len(list))
		for _, e := range list {
			var on bool
			s.boolean(&on)(join(path, e.key.Value), e.value)
			values[e.key.Value] = on
			lines[e.key.Value] = e.key.Line
		}
		*target = values
	}
}

// quantity reads a positive Kubernetes quantity, quoted or not; check may say more that is wrong.
func (s source) quantity(target *string, check func(resource.Quantity) string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			s.wrongType(path, n, "a quantity")
			return
		}
		q, err := resource.ParseQuantity(n.Value)
		switch {
		case err != nil:
			s.add(n.Line, `write it as "2", 500m or 4Gi`, "%s: %q is no Kubernetes quantity", path, n.Value)
		case q.Sign() <= 0:
			s.add(n.Line, "", "%s: %q is not more than zero", path, n.Value)
		case check != nil && check(q) != "":
			s.add(n.Line, fmt.Sprintf("did you mean %sGi?", strings.TrimRight(n.Value, "mMkKiI")), "%s: %q %s", path, n.Value, check(q))
		default:
			*target = n.Value
		}
	}
}

// tooSmallForMemory catches the forgotten unit: "4" is four bytes, "4m" not even one.
func tooSmallForMemory(q resource.Quantity) string {
	if q.Cmp(resource.MustParse("1Mi")) < 0 {
		return "is less than 1Mi of memory"
	}
	return ""
}

func notLabel(value string) string {
	return complaint(validation.IsDNS1123Label(value), "is no DNS label")
}

func notDomain(value string) string {
	return complaint(validation.IsDNS1123Subdomain(value), "is no DNS name")
}

func notQualified(value string) string {
	return complaint(validation.IsQualifiedName(value), "is no label key")
}

func notLabelValue(value string) string {
	return complaint(validation.IsValidLabelValue(value), "is no label value")
}

func complaint(problems []string, text string) string {
	if len(problems) == 0 {
		return ""
	}
	return text
}

func notPoolName(value string) string {
	if len(value) > maxPoolName {
		return fmt.Sprintf("is longer than %d characters, which node names leave", maxPoolName)
	}
	return notLabel(value)
}

func notPoolLabel(key, value, pool string) string {
	if wrong := notQualified(key); wrong != "" {
		return fmt.Sprintf("has a key that %s", wrong)
	}
	if key == PoolLabel && value != pool {
		return fmt.Sprintf("can't be: this label is the pool's name, %q", pool)
	}
	return notLabelValue(value)
}

// notKubernetesVersion wants all three numbers: charts compare them, and Argo CD must see the same.
func notKubernetesVersion(value string) string {
	numbers := strings.Split(strings.TrimPrefix(value, "v"), ".")
	for _, number := range numbers {
		if _, err := strconv.ParseUint(number, 10, 16); err != nil {
			return "is no Kubernetes version such as v1.37.2"
		}
	}
	if len(numbers) != 3 {
		return "is no Kubernetes version such as v1.37.2"
	}
	return ""
}

// notAPIVersion wants "v1", "group/version" or "group/version/Kind", as charts ask .Capabilities.APIVersions.Has for.
func notAPIVersion(value string) string {
	parts := strings.Split(value, "/")
	if len(parts) > 3 || slices.Contains(parts, "") || strings.ContainsAny(value, " \t,") {
		return "is no API version such as cert-manager.io/v1 or cert-manager.io/v1/Certificate"
	}
	return ""
}
