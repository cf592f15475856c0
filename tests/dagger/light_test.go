package dagger

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An engine compiles everything that main.go reaches before it can name a function.
func TestTheModuleStaysLight(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../..").Output()
	require.NoError(t, err)
	for pkg := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"k8s.io/", "helm.sh/", "sigs.k8s.io/"} {
			require.False(t, strings.HasPrefix(pkg, heavy), "%s is reached from main.go", pkg)
		}
	}
}

// What isn't in the module's source can change without the module being compiled again; what main.go reaches has to be in it.
func TestTheModulesSourceIsWhatItIsCompiledFrom(t *testing.T) {
	content, err := os.ReadFile("../../dagger.json")
	require.NoError(t, err)
	var module struct{ Include []string }
	require.NoError(t, json.Unmarshal(content, &module))
	require.Equal(t, "!**", module.Include[0], "nothing but what is named")
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}}", "../..").Output()
	require.NoError(t, err)
	for pkg := range strings.FieldsSeq(string(out)) {
		folder, own := strings.CutPrefix(pkg, "github.com/idp-blueprint/idp/")
		if !own {
			continue
		}
		require.True(t, folder == "internal/dagger" || strings.HasPrefix(folder+"/", "pipelines/"), "%s is not in dagger.json's include", folder)
	}
}
