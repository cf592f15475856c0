package platform

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a file says, Load doesn't panic, and what it reports names a file.
func fuzzFile(f *testing.F, name string, seeds ...string) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		p, err := Load(checkout(map[string]string{name: text}), "/somewhere")
		if err == nil {
			require.NotEmpty(t, p.Config.Cluster.Pools)
			for _, l := range p.Layers {
				require.Len(t, Key("1", nil, l.Gates, nil), 2*keyBytes)
			}
			return
		}
		for _, each := range err.(interface{ Unwrap() []error }).Unwrap() {
			var input *InputError
			require.ErrorAs(t, each, &input)
			require.NotEmpty(t, input.File)
			require.NotEmpty(t, input.Msg)
		}
	})
}

func FuzzConfig(f *testing.F) {
	fuzzFile(f, ConfigFile, goodConfig, bomb(), "global: &g\n  platform: *g\n", "? [a]\n: b", "global:\n  platform:\n    cluster: {pools: [{name: a, cpu: 1e9}]}\n")
}

func FuzzLayers(f *testing.F) {
	fuzzFile(f, LayersFile, goodLayers, "- {name: cilium, namespace: a, needs: [b], gates: [{dryRun: {apiVersion: v1, kind: C, metadata: {name: x}, v: !!binary aGk=}}]}\n", "- &a\n  name: *a\n")
}

func FuzzChart(f *testing.F) {
	fuzzFile(f, "IT/cilium/Chart.yaml", chartFile("cilium"), chartFile("cilium")+"dependencies: [{name: a, version: 1.2.3, repository: oci://b}]\n")
}
