package platform

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func readExceptionsOf(text string) ([]Exception, error) {
	fsys := fstest.MapFS{"K8s/apps/web/lint.yaml": {Data: []byte(text)}}
	return ReadExceptions(fsys, Component{App: "apps-web", Path: "K8s/apps/web"})
}

func TestReadExceptions(t *testing.T) {
	list, err := readExceptionsOf("- rule: host-access\n  object: DaemonSet/node-*\n  reason: it reads the host\n  expires: 2027-01-31\n- {rule: x, object: '*/y'}\n")
	require.NoError(t, err)
	require.Equal(t, []Exception{
		{
			App: "apps-web", File: "K8s/apps/web/lint.yaml", Line: 1, Rule: "host-access", Kind: "DaemonSet", Name: "node-*",
			Reason: "it reads the host", Expires: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
		},
		{App: "apps-web", File: "K8s/apps/web/lint.yaml", Line: 5, Rule: "x", Kind: "*", Name: "y"},
	}, list)
}

func TestExceptionsOfAComponentWithoutTheFile(t *testing.T) {
	list, err := ReadExceptions(fstest.MapFS{}, Component{Path: "K8s/apps/web"})
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestExceptionsThatAreWrong(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"a misspelt key":         {"- rule: a\n  object: A/b\n  reson: c\n", []string{"lint.yaml:3", "reson", `did you mean "reason"?`}},
		"no rule":                {"- object: A/b\n", []string{"lint.yaml:1", `"rule"`}},
		"no object":              {"- rule: a\n", []string{"lint.yaml:1", `"object"`}},
		"an object without kind": {"- rule: a\n  object: web\n", []string{"lint.yaml:2", "Deployment/argocd-*"}},
		"a broken glob":          {"- rule: a\n  object: 'A/[b'\n", []string{"lint.yaml:2", "glob"}},
		"no date":                {"- rule: a\n  object: A/b\n  expires: soon\n", []string{"lint.yaml:3", "2027-01-31"}},
		"no list":                {"rule: a\n", []string{"lint.yaml:1", "a list"}},
		"an empty file":          {"", []string{"lint.yaml", "empty"}},
		"no YAML":                {"- [", []string{"lint.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readExceptionsOf(c.text)
			var input *InputError
			require.ErrorAs(t, err, &input)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}
