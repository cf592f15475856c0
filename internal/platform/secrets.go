package platform

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Secrets says how a secret store is to be: where it runs, who reads what, and how each value is made. It holds no value.
type Secrets struct {
	File   string `json:"-"` // repo-relative, with slashes
	Server SecretServer
	Audit  string // file of the audit device, in the server's file system; empty for none
	Roles  []SecretRole
	Paths  []SecretPath // sorted: a path comes after those it copies from
	Logins []SecretLogin
}

// SecretServer is where the store runs in the cluster.
type SecretServer struct {
	Namespace      string
	StatefulSet    string
	Service        string // the host name in its certificate is <service>.<namespace>.svc
	Port           int
	ServiceAccount string // as whom the platform logs in to change the store
	Kubernetes     string // where the server reaches the API server
	CA             Ref    // ConfigMap with the certificates of the authorities that are trusted
	UnsealKeys     Ref    // Secret of Namespace; Key is the prefix of its keys, which end in 0, 1, …
	Shares         int
	Threshold      int
}

// Ref is a key of a Secret or ConfigMap.
type Ref struct{ Namespace, Name, Key string }

// SecretRole lets one ServiceAccount of a namespace read the paths of that namespace.
type SecretRole struct {
	Namespace      string
	ServiceAccount string
	Audience       string
	Stack          string // only while it is on; empty for always
}

// SecretPath is one secret; its first segment is the namespace whose role reads it.
type SecretPath struct {
	Path string
	Keys []SecretKey // sorted: a key comes after those of the same path that it is made from
	Line int         `json:"-"`
}

// SecretKey says how a value is made. Exactly one of its ways is set.
type SecretKey struct {
	Name      string
	Generate  *Generate
	Bcrypt    string // of this key of the same path
	Timestamp string // when this key of the same path was last changed
	Copy      *Copy
	User      *UserValue
	Text      string // what is no secret
	Line      int    `json:"-"`
}

// Generate is a random value.
type Generate struct {
	Length   int
	Alphabet string
}

// Copy is the value of another path's key.
type Copy struct{ Path, Key string }

// UserValue is given by the user.
type UserValue struct {
	Description string
	Default     string
}

// SecretLogin is where a person logs in with a value of the store.
type SecretLogin struct {
	Name, Path, User, UserKey, PasswordKey string
	Line                                   int `json:"-"`
}

const (
	alphanumeric      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	defaultLength     = 32
	maxSecretLength   = 1024
	minAlphabet       = 10
	minGenerateLength = 12
	bcryptLimit       = 72 // bytes; what is longer would be cut silently
)

// Path is the declared path of that name.
func (s *Secrets) Path(name string) (SecretPath, bool) {
	i := slices.IndexFunc(s.Paths, func(p SecretPath) bool { return p.Path == name })
	if i < 0 {
		return SecretPath{}, false
	}
	return s.Paths[i], true
}

// Key is the declared key of that name.
func (p SecretPath) Key(name string) (SecretKey, bool) {
	i := slices.IndexFunc(p.Keys, func(k SecretKey) bool { return k.Name == name })
	if i < 0 {
		return SecretKey{}, false
	}
	return p.Keys[i], true
}

// Namespace is whose role reads the path.
func (p SecretPath) Namespace() string {
	namespace, _, _ := strings.Cut(p.Path, "/")
	return namespace
}

// For is what is wanted with these stacks on: the roles of other stacks are left out, with their paths and logins.
func (s *Secrets) For(on func(stack string) bool) *Secrets {
	wanted := *s
	wanted.Roles, wanted.Paths, wanted.Logins = nil, nil, nil
	active := map[string]bool{}
	for _, r := range s.Roles {
		if r.Stack == "" || on(r.Stack) {
			active[r.Namespace] = true
			wanted.Roles = append(wanted.Roles, r)
		}
	}
	for _, p := range s.Paths {
		if active[p.Namespace()] {
			wanted.Paths = append(wanted.Paths, p)
		}
	}
	for _, l := range s.Logins {
		if active[SecretPath{Path: l.Path}.Namespace()] {
			wanted.Logins = append(wanted.Logins, l)
		}
	}
	return &wanted
}

// ReadSecrets reads a declaration of secrets. The error joins one *InputError for each thing that is wrong.
func ReadSecrets(fsys fs.FS, file string) (*Secrets, error) {
	out := &findings{}
	d := readSecrets(fsys, file, out)
	if err := out.err(); err != nil {
		return nil, err
	}
	return d, nil
}

func readSecrets(fsys fs.FS, file string, out *findings) *Secrets {
	s := source{file, out}
	n := s.root(fsys, "the gate names it, relative to the layer's folder")
	if n == nil {
		return nil
	}
	d := &Secrets{File: file}
	before := len(out.list)
	s.mapping("", n, s.secretsFields(d))
	if len(out.list) > before {
		return nil
	}
	s.checkSecrets(d)
	return d
}

func (s source) secretsFields(d *Secrets) []field {
	return []field{
		required("server", func(at string, n *yaml.Node) {
			d.Server = SecretServer{Kubernetes: "https://kubernetes.default.svc", Port: 8200, Shares: 1, Threshold: 1}
			s.mapping(at, n, s.secretServerFields(&d.Server))
			if d.Server.Threshold > d.Server.Shares {
				s.add(n.Line, "", "%s: the threshold %d is larger than the %d shares", at, d.Server.Threshold, d.Server.Shares)
			}
		}),
		optional("audit", s.textWith(&d.Audit, notFilePath)),
		required("roles", s.sequence(func(at string, n *yaml.Node) {
			r := SecretRole{ServiceAccount: "secret-store", Audience: "vault"}
			s.mapping(at, n, s.secretRoleFields(&r))
			if slices.ContainsFunc(d.Roles, func(o SecretRole) bool { return o.Namespace == r.Namespace }) {
				s.add(n.Line, "keep one of them", "%s: the namespace %q has a role already", at, r.Namespace)
			}
			d.Roles = append(d.Roles, r)
		})),
		required("paths", s.sequence(func(at string, n *yaml.Node) {
			p := SecretPath{Line: n.Line}
			s.mapping(at, n, s.secretPathFields(&p))
			if earlier, doubled := d.Path(p.Path); doubled && p.Path != "" {
				s.add(n.Line, "list its keys in one place", "%s: the path %q is already on line %d", at, p.Path, earlier.Line)
			}
			d.Paths = append(d.Paths, p)
		})),
		optional("logins", s.sequence(func(at string, n *yaml.Node) {
			l := SecretLogin{Line: n.Line}
			s.mapping(at, n, s.secretLoginFields(&l))
			if (l.User == "") == (l.UserKey == "") {
				s.add(n.Line, "", "%s needs one of the keys \"user\" and \"userKey\"", at)
			}
			d.Logins = append(d.Logins, l)
		})),
	}
}

func (s source) secretServerFields(v *SecretServer) []field {
	const maxPort, maxShares = 65535, 20
	return []field{
		required("namespace", s.textWith(&v.Namespace, notLabel)),
		required("statefulSet", s.textWith(&v.StatefulSet, notDomain)),
		required("service", s.textWith(&v.Service, notLabel)),
		optional("port", s.number(&v.Port, maxPort)),
		required("serviceAccount", s.textWith(&v.ServiceAccount, notDomain)),
		optional("kubernetes", s.text(&v.Kubernetes)),
		required("ca", func(at string, n *yaml.Node) {
			s.mapping(at, n, []field{
				required("namespace", s.textWith(&v.CA.Namespace, notLabel)),
				required("configMap", s.textWith(&v.CA.Name, notDomain)),
				required("key", s.text(&v.CA.Key)),
			})
		}),
		required("unsealKeys", func(at string, n *yaml.Node) {
			s.mapping(at, n, []field{
				required("secret", s.textWith(&v.UnsealKeys.Name, notDomain)),
				required("prefix", s.textWith(&v.UnsealKeys.Key, NotSecretKey)),
			})
			v.UnsealKeys.Namespace = v.Namespace
		}),
		optional("shares", s.number(&v.Shares, maxShares)),
		optional("threshold", s.number(&v.Threshold, maxShares)),
	}
}

func (s source) secretRoleFields(r *SecretRole) []field {
	return []field{
		required("namespace", s.textWith(&r.Namespace, notLabel)),
		optional("serviceAccount", s.textWith(&r.ServiceAccount, notDomain)),
		optional("audience", s.text(&r.Audience)),
		optional("stack", s.textWith(&r.Stack, notLabel)),
	}
}

func (s source) secretPathFields(p *SecretPath) []field {
	return []field{
		required("path", s.textWith(&p.Path, NotSecretPath)),
		required("keys", func(at string, n *yaml.Node) {
			list, _ := s.entries(at, n)
			if n.Kind == yaml.MappingNode && len(list) == 0 {
				s.add(n.Line, "", "%s has no key", at)
			}
			for _, e := range list {
				if wrong := NotSecretKey(e.key.Value); wrong != "" {
					s.add(e.key.Line, "", "%s: %q %s", at, e.key.Value, wrong)
					continue
				}
				k := SecretKey{Name: e.key.Value, Line: e.key.Line}
				s.secretKey(join(at, k.Name), e.value, &k)
				p.Keys = append(p.Keys, k)
			}
		}),
	}
}

// secretKey reads how a value is made, which must be by exactly one way.
func (s source) secretKey(at string, n *yaml.Node, k *SecretKey) {
	fields := s.secretKeyFields(k)
	s.mapping(at, n, fields)
	list, ok := s.entries(at, n)
	if !ok {
		return
	}
	ways := 0
	for _, e := range list {
		if contains(fields, e.key.Value) && !isNull(e.value) {
			ways++
		}
	}
	if ways != 1 {
		s.add(n.Line, "give it one of "+strings.Join(keys(fields), ", "), "%s says %d ways in which it is made", at, ways)
	}
}

func (s source) secretKeyFields(k *SecretKey) []field {
	return []field{
		optional("generate", func(at string, n *yaml.Node) {
			k.Generate = &Generate{Length: defaultLength, Alphabet: alphanumeric}
			s.mapping(at, n, []field{
				optional("length", s.number(&k.Generate.Length, maxSecretLength)),
				optional("alphabet", s.textWith(&k.Generate.Alphabet, notAlphabet)),
			})
			if k.Generate.Length < minGenerateLength {
				s.add(n.Line, "", "%s: %d characters are too few to be a secret; use %d or more", at, k.Generate.Length, minGenerateLength)
			}
		}),
		optional("bcrypt", s.text(&k.Bcrypt)),
		optional("timestamp", s.text(&k.Timestamp)),
		optional("copy", func(at string, n *yaml.Node) {
			k.Copy = &Copy{}
			s.mapping(at, n, []field{required("path", s.textWith(&k.Copy.Path, NotSecretPath)), required("key", s.textWith(&k.Copy.Key, NotSecretKey))})
		}),
		optional("user", func(at string, n *yaml.Node) {
			k.User = &UserValue{}
			s.mapping(at, n, []field{required("description", s.text(&k.User.Description)), optional("default", s.text(&k.User.Default))})
		}),
		optional("text", s.textWith(&k.Text, func(text string) string {
			if text == "" {
				return "is empty"
			}
			return ""
		})),
	}
}

func (s source) secretLoginFields(l *SecretLogin) []field {
	return []field{
		required("name", s.text(&l.Name)),
		required("path", s.textWith(&l.Path, NotSecretPath)),
		optional("user", s.text(&l.User)),
		optional("userKey", s.textWith(&l.UserKey, NotSecretKey)),
		required("passwordKey", s.textWith(&l.PasswordKey, NotSecretKey)),
	}
}

// checkSecrets checks what the parts say of one another, and sorts what is made from something else behind it.
func (s source) checkSecrets(d *Secrets) {
	var namespaces, paths []string
	for _, r := range d.Roles {
		namespaces = append(namespaces, r.Namespace)
	}
	for _, p := range d.Paths {
		paths = append(paths, p.Path)
	}
	for i := range d.Paths {
		p := &d.Paths[i]
		if !slices.Contains(namespaces, p.Namespace()) {
			s.add(p.Line, didYouMean(p.Namespace(), namespaces, "namespaces with a role"), "%s: no role reads the paths of %q", p.Path, p.Namespace())
		}
		var names []string
		for _, k := range p.Keys {
			names = append(names, k.Name)
		}
		for _, k := range p.Keys {
			s.checkKey(d, *p, k, names, paths)
		}
		p.Keys = sortAfter(p.Keys, func(k SecretKey) string { return k.Name }, func(k SecretKey) []string { return []string{k.Bcrypt, k.Timestamp} },
			func(k SecretKey) { s.add(k.Line, "", "%s: the key %q is made from itself", p.Path, k.Name) })
	}
	for _, l := range d.Logins {
		p, found := d.Path(l.Path)
		if !found {
			s.add(l.Line, didYouMean(l.Path, paths, "paths"), "the login %q: there is no path %q", l.Name, l.Path)
			continue
		}
		for _, key := range []string{l.UserKey, l.PasswordKey} {
			if _, found := p.Key(key); !found && key != "" {
				s.add(l.Line, "", "the login %q: the path %q has no key %q", l.Name, l.Path, key)
			}
		}
	}
	d.Paths = sortAfter(d.Paths, func(p SecretPath) string { return p.Path }, func(p SecretPath) (from []string) {
		for _, k := range p.Keys {
			if k.Copy != nil {
				from = append(from, k.Copy.Path)
			}
		}
		return from
	}, func(p SecretPath) {
		s.add(p.Line, "", "%s copies from itself, by way of the paths it copies from", p.Path)
	})
}

func (s source) checkKey(d *Secrets, p SecretPath, k SecretKey, names, paths []string) {
	for _, base := range []string{k.Bcrypt, k.Timestamp} {
		if base != "" && !slices.Contains(names, base) {
			s.add(k.Line, didYouMean(base, names, "keys there"), "%s: %q is made from the key %q, which isn't there", p.Path, k.Name, base)
		}
	}
	if base, found := p.Key(k.Bcrypt); found && base.Generate != nil && base.Generate.Length > bcryptLimit {
		s.add(k.Line, "", "%s: bcrypt takes at most %d bytes, and %q has %d", p.Path, bcryptLimit, base.Name, base.Generate.Length)
	}
	if k.Copy == nil {
		return
	}
	from, found := d.Path(k.Copy.Path)
	if !found {
		s.add(k.Line, didYouMean(k.Copy.Path, paths, "paths"), "%s: %q is a copy from %q, which isn't there", p.Path, k.Name, k.Copy.Path)
		return
	}
	if _, found := from.Key(k.Copy.Key); !found {
		s.add(k.Line, "", "%s: %q is a copy of %s %q, which isn't there", p.Path, k.Name, from.Path, k.Copy.Key)
	}
}

// sortAfter sorts so that everything comes after what it is made from; what is in a circle is given to round.
func sortAfter[T any](list []T, name func(T) string, from func(T) []string, round func(T)) []T {
	at := map[string]int{}
	for i, item := range list {
		at[name(item)] = i
	}
	const unseen, open, done = 0, 1, 2
	state := make([]int, len(list))
	sorted := make([]T, 0, len(list))
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		for _, base := range from(list[i]) {
			j, known := at[base]
			switch {
			case !known || state[j] == done:
			case state[j] == open:
				round(list[i])
			default:
				visit(j)
			}
		}
		state[i] = done
		sorted = append(sorted, list[i])
	}
	for i := range list {
		if state[i] == unseen {
			visit(i)
		}
	}
	return sorted
}

// NotSecretPath says what is wrong with a path of the store, or "". What a server or a proxy might read differently is refused.
func NotSecretPath(value string) string {
	const limit = 200
	switch {
	case value == "":
		return "is empty"
	case len(value) > limit:
		return fmt.Sprintf("is longer than %d characters", limit)
	case !strings.Contains(value, "/"):
		return "is no path such as <namespace>/<what>"
	}
	for _, segment := range strings.Split(value, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return "climbs, or has an empty part"
		case strings.ContainsFunc(segment, notPathRune):
			return "has a character other than letters, digits, '-', '_' and '.'"
		}
	}
	return ""
}

// NotSecretKey says what is wrong with the name of a key, or "". It has to fit a key of a Kubernetes Secret.
func NotSecretKey(value string) string {
	const limit = 253
	switch {
	case value == "" || value == "." || value == "..":
		return "is no name for a key"
	case len(value) > limit:
		return fmt.Sprintf("is longer than %d characters", limit)
	case strings.ContainsFunc(value, notPathRune):
		return "has a character other than letters, digits, '-', '_' and '.'"
	}
	return ""
}

func notPathRune(r rune) bool {
	return r > 127 || !strings.ContainsRune(alphanumeric+"-_.", r)
}

func notAlphabet(value string) string {
	seen := map[rune]bool{}
	for _, r := range value {
		if r < ' ' || r > '~' || seen[r] {
			return "is no alphabet: printable ASCII characters, each once"
		}
		seen[r] = true
	}
	if len(seen) < minAlphabet {
		return fmt.Sprintf("has fewer than %d characters", minAlphabet)
	}
	return ""
}

func notFilePath(value string) string {
	if !path.IsAbs(value) || path.Clean(value) != value {
		return "is no absolute path of a file"
	}
	return ""
}
