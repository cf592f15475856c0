package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/stretchr/testify/require"
)

const smallSecrets = `server: {namespace: base, statefulSet: s, service: s, serviceAccount: s, ca: {namespace: c, configMap: ca, key: k}, unsealKeys: {secret: u, prefix: u-}}
roles: [{namespace: base}]
paths:
- path: base/admin
  keys:
    password: {generate: {}}
    user: {text: admin}
`

func platformWithSecrets(t *testing.T, change map[string]string) string {
	t.Helper()
	files := map[string]string{
		"IT/layers.yaml":       "- name: base\n  namespace: base\n  gates:\n  - seeded: secrets.yaml\n",
		"IT/base/secrets.yaml": smallSecrets,
	}
	for name, content := range change {
		files[name] = content
	}
	return smallPlatform(t, files)
}

func TestSecretsThatAreWrongEndBeforeAnythingIsTouched(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]string
		says   []string
	}{
		"a misspelt way":     {map[string]string{"IT/base/secrets.yaml": strings.Replace(smallSecrets, "generate", "genrate", 1)}, []string{"IT/base/secrets.yaml:6", "genrate", "generate"}},
		"no declaration":     {map[string]string{"IT/layers.yaml": "- name: base\n  namespace: base\n  gates:\n  - seeded: secret.yaml\n"}, []string{"IT/base/secret.yaml", "no such file"}},
		"a file that climbs": {map[string]string{"IT/layers.yaml": "- name: base\n  namespace: base\n  gates:\n  - seeded: ../s.yaml\n"}, []string{"IT/layers.yaml:4", "folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := runIn(t, platformWithSecrets(t, c.change), "up", "--offline")
			require.Equal(t, exitUsage, code, stderr)
			for _, text := range c.says {
				require.Contains(t, stderr, text)
			}
		})
	}
}

func TestSecretsList(t *testing.T) {
	root := platformWithSecrets(t, nil)
	code, stdout, stderr := runIn(t, root, "secrets", "list")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "generated, 32 characters")
	code, stdout, _ = runIn(t, root, "secrets", "list", "-o", "json")
	require.Zero(t, code)
	require.JSONEq(t, `[{"path":"base/admin","key":"password","made":"generated, 32 characters"},{"path":"base/admin","key":"user","made":"text: admin"}]`, stdout)
	code, _, stderr = runIn(t, smallPlatform(t, nil), "secrets", "list")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "seeded")
}

// A value that was typed as an argument is not printed.
func TestAValueIsNoArgument(t *testing.T) {
	code, stdout, stderr := runIn(t, platformWithSecrets(t, nil), "secrets", "set", "base/admin", "password", "hunter2")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "stdin")
	require.NotContains(t, stdout+stderr, "hunter2")
}

func TestSecretsOfAClusterThatDoesNotRun(t *testing.T) {
	for _, args := range [][]string{{"secrets", "rotate", "base/admin"}, {"secrets", "apply"}, {"credentials"}, {"ca", "export"}} {
		code, _, stderr := runIn(t, platformWithSecrets(t, nil), append(args, "--name", "ghost")...)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "idp up --name ghost")
	}
}

func TestSeedingWherePodsDoNotRun(t *testing.T) {
	var said []string
	s := seeder{&cluster.Access{Info: cluster.Info{Provider: "embedded"}}}
	require.NoError(t, s.Seed(context.Background(), &platform.Secrets{}, func(text string) { said = append(said, text) }))
	sound, err := s.Sound(context.Background(), &platform.Secrets{})
	require.NoError(t, err)
	require.True(t, sound)
	require.Len(t, said, 1)
	require.Contains(t, said[0], "simulated")
}

func TestPrintLogins(t *testing.T) {
	var out bytes.Buffer
	logins := []platform.SecretLogin{{Name: "A", Path: "a/b", User: "admin", PasswordKey: "p"}, {Name: "B", Path: "b/c", UserKey: "u", PasswordKey: "p"}}
	values := map[string]map[string]string{"a/b": {"p": "one"}, "b/c": {"u": "root", "p": "two"}}
	require.NoError(t, printLogins(&out, &options{output: "json"}, logins, values))
	require.JSONEq(t, `[{"name":"A","user":"admin","password":"one"},{"name":"B","user":"root","password":"two"}]`, out.String())
}
