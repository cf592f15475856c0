package platform

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

const secretsHead = "server:\n  namespace: v\n  statefulSet: v\n  service: v\n  serviceAccount: s\n  ca: {namespace: c, configMap: ca, key: tls.crt}\n  unsealKeys: {secret: u, prefix: u-}\n"

func readSecretsOf(text string) (*Secrets, error) {
	return ReadSecrets(fstest.MapFS{"IT/v/secrets.yaml": {Data: []byte(secretsHead + text)}}, "IT/v/secrets.yaml")
}

func TestReadSecrets(t *testing.T) {
	d, err := readSecretsOf(`roles: [{namespace: a}, {namespace: b, stack: off}]
paths:
- path: a/copy
  keys:
    hash: {bcrypt: word}
    word: {copy: {path: b/x, key: p}}
- path: b/x
  keys:
    p: {generate: {length: 40, alphabet: abcdefghij}}
`)
	require.NoError(t, err)
	require.Equal(t, "b/x", d.Paths[0].Path, "what is copied from comes first")
	require.Equal(t, "word", d.Paths[1].Keys[0].Name, "what is made from comes first")
	require.Equal(t, SecretRole{Namespace: "a", ServiceAccount: "secret-store", Audience: "vault"}, d.Roles[0])
	require.Equal(t, &Generate{Length: 40, Alphabet: "abcdefghij"}, d.Paths[0].Keys[0].Generate)
	narrow := d.For(func(string) bool { return false })
	require.Len(t, narrow.Roles, 1)
	require.Len(t, narrow.Paths, 1)
	require.Len(t, d.Roles, 2)
}

func TestSecretsThatAreWrong(t *testing.T) {
	const roles = "roles: [{namespace: a}]\n"
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"a misspelt way":        {roles + "paths:\n- path: a/b\n  keys:\n    k: {genrate: {}}\n", []string{"secrets.yaml:12", "genrate", `did you mean "generate"?`}},
		"two ways":              {roles + "paths:\n- path: a/b\n  keys:\n    k: {generate: {}, text: a}\n", []string{"secrets.yaml:12", "2 ways"}},
		"no way":                {roles + "paths:\n- path: a/b\n  keys:\n    k: {}\n", []string{"secrets.yaml:12", "0 ways"}},
		"a short secret":        {roles + "paths:\n- path: a/b\n  keys:\n    k: {generate: {length: 4}}\n", []string{"secrets.yaml:12", "too few"}},
		"a small alphabet":      {roles + "paths:\n- path: a/b\n  keys:\n    k: {generate: {alphabet: ab}}\n", []string{"secrets.yaml:12", "fewer than 10"}},
		"a path that climbs":    {roles + "paths:\n- path: a/../b\n  keys:\n    k: {text: a}\n", []string{"secrets.yaml:10", "climbs"}},
		"a path of nobody":      {roles + "paths:\n- path: aa/b\n  keys:\n    k: {text: a}\n", []string{"secrets.yaml:10", `did you mean "a"?`}},
		"a path twice":          {roles + "paths:\n- path: a/b\n  keys: {k: {text: a}}\n- path: a/b\n  keys: {l: {text: a}}\n", []string{"secrets.yaml:12", "line 10"}},
		"a key with a newline":  {roles + "paths:\n- path: a/b\n  keys: {\"k\\nl\": {text: a}}\n", []string{"secrets.yaml:11", "character"}},
		"a hash of nothing":     {roles + "paths:\n- path: a/b\n  keys: {k: {bcrypt: pasword}, password: {generate: {}}}\n", []string{"secrets.yaml:11", `did you mean "password"?`}},
		"a hash of too much":    {roles + "paths:\n- path: a/b\n  keys: {k: {bcrypt: p}, p: {generate: {length: 80}}}\n", []string{"secrets.yaml:11", "72"}},
		"a key made of itself":  {roles + "paths:\n- path: a/b\n  keys: {k: {bcrypt: l}, l: {timestamp: k}}\n", []string{"secrets.yaml:11", "itself"}},
		"a copy of nothing":     {roles + "paths:\n- path: a/b\n  keys: {k: {copy: {path: a/c, key: d}}}\n", []string{"secrets.yaml:11", "a/c"}},
		"copies in a circle":    {roles + "paths:\n- path: a/b\n  keys: {k: {copy: {path: a/c, key: k}}}\n- path: a/c\n  keys: {k: {copy: {path: a/b, key: k}}}\n", []string{"copies from itself"}},
		"a login without a key": {roles + "paths:\n- path: a/b\n  keys: {k: {text: a}}\nlogins: [{name: L, path: a/b, user: u, passwordKey: p}]\n", []string{"secrets.yaml:12", `"p"`}},
		"a role twice":          {"roles: [{namespace: a}, {namespace: a}]\npaths: []\n", []string{"secrets.yaml:8", "already"}},
		"an audit log nowhere":  {"audit: log\nroles: []\npaths: []\n", []string{"secrets.yaml:8", "absolute"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readSecretsOf(c.text)
			var input *InputError
			require.ErrorAs(t, err, &input)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

func TestSecretsOfTheRepository(t *testing.T) {
	p, err := Load(os.DirFS(checkoutFolder), checkoutFolder)
	require.NoError(t, err)
	var stores int
	for _, l := range p.Layers {
		if d := l.Secrets(); d != nil {
			stores++
			require.NotEmpty(t, d.Paths)
			require.Equal(t, l.Namespace, d.Server.Namespace)
		}
	}
	require.Equal(t, 1, stores)
}

// A change of the declaration runs its layer again.
func TestSecretsAreInTheKey(t *testing.T) {
	key := func(text string) string {
		d, err := readSecretsOf(text)
		require.NoError(t, err)
		return Key("1", nil, []Gate{{Seeded: d}}, nil)
	}
	one := key("roles: [{namespace: a}]\npaths: []\n")
	require.Equal(t, one, key("# a comment\nroles: [{namespace: a}]\npaths: []\n"))
	require.NotEqual(t, one, key("roles: [{namespace: b}]\npaths: []\n"))
}

func TestSecretNames(t *testing.T) {
	for _, path := range []string{"", "a", "/a/b", "a/b/", "a//b", "../a", "a/..", "a/./b", "a/b\n", "a/b\x00", "a/%2e%2e", "a/b c", "a/ü", "a/" + strings.Repeat("b", 300)} {
		require.NotEmpty(t, NotSecretPath(path), "%q", path)
	}
	for _, key := range []string{"", "..", "a/b", "a\nb", "a\x00", "a b", strings.Repeat("k", 300)} {
		require.NotEmpty(t, NotSecretKey(key), "%q", key)
	}
	require.Empty(t, NotSecretPath("a/b-c/d.e_f"))
	require.Empty(t, NotSecretKey("tls.crt"))
}
