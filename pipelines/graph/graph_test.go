package graph

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const planJSON = `{"nodes": [{"name": "infra-0", "pool": "infra", "taints": [{"key": "k", "effect": "NoSchedule"}]}], "layers": [
	{"name": "base", "key": "k1", "file": "layers/base.json"},
	{"name": "left", "needs": ["base"], "key": "k2", "file": "layers/left.json"},
	{"name": "right", "needs": ["base"], "key": "k3", "file": "layers/right.json"},
	{"name": "gitops", "needs": ["left", "right"], "key": "k4", "file": "layers/gitops.json", "handOver": true}]}`

func names(layers []Layer) []string {
	var all []string
	for _, l := range layers {
		all = append(all, l.Name)
	}
	return all
}

func TestOrder(t *testing.T) {
	p, err := ParsePlan(planJSON)
	require.NoError(t, err)
	upto, err := p.Upto("left")
	require.NoError(t, err)
	require.Equal(t, []string{"base", "left"}, names(upto))
	upto, err = p.Upto("gitops")
	require.NoError(t, err)
	require.Equal(t, []string{"base", "left", "right", "gitops"}, names(upto))
	require.Equal(t, []string{"base", "left", "right"}, names(p.Before()))
	last, err := p.HandOver()
	require.NoError(t, err)
	require.Equal(t, "gitops", last.Name)
	require.Equal(t, "NoSchedule", p.Nodes[0].Taints[0].Effect)
}

func TestBadInput(t *testing.T) {
	p, err := ParsePlan(planJSON)
	require.NoError(t, err)
	_, err = p.Upto("lfet")
	require.EqualError(t, err, `there is no layer "lfet": IT/layers.yaml has base, left, right, gitops`)
	require.EqualError(t, CheckProvider("kind"), `there is no provider "kind": use embedded or k3s`)
	require.NoError(t, CheckProvider(K3s))
	_, err = ParsePlan(`{}`)
	require.ErrorContains(t, err, "no layers")
	_, err = ParsePlan(`[`)
	require.ErrorContains(t, err, "reading the plan")
	_, err = ParseState(`{"layers": []}`)
	require.ErrorContains(t, err, "no UID")
	_, err = Plan{Layers: p.Layers[:1]}.HandOver()
	require.ErrorContains(t, err, "handover: true")
	_, err = Steps(p.Layers, State{})
	require.ErrorContains(t, err, "nothing of layer base")
}

func TestStepsCarryWhatTheirResultsAreKeptUnder(t *testing.T) {
	p, err := ParsePlan(planJSON)
	require.NoError(t, err)
	state, err := ParseState(`{"cluster": {"uid": "u"}, "layers": [
		{"name": "base", "state": "cached", "turn": "t1"}, {"name": "left", "state": "pending", "turn": "t2", "replaces": true}]}`)
	require.NoError(t, err)
	steps, err := Steps(p.Layers[:2], state)
	require.NoError(t, err)
	require.Equal(t, []Step{
		{Layer: p.Layers[0], UID: "u", Turn: "t1", Cached: true},
		{Layer: p.Layers[1], UID: "u", Turn: "t2", Among: true},
	}, steps)
}

func TestTable(t *testing.T) {
	call := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	kept, err := ParseApplied(`{"name": "base", "state": "applied", "objects": 3, "changed": 3, "seconds": 2.5, "at": "2026-11-23T11:00:00Z"}`, call)
	require.NoError(t, err)
	ran, err := ParseApplied(`{"name": "left", "state": "applied", "objects": 4, "changed": 1, "seconds": 1.25, "at": "2026-11-23T12:00:05Z"}`, call)
	require.NoError(t, err)
	require.Equal(t, `LAYER                STEP   CLUSTER   OBJECTS  CHANGED  SECONDS
base                 hit    -               3        -        -
left                 ran    applied         4        1      1.2
2 layers: 1 ran, 1 hits
`, Table([]Applied{kept, ran}))
}
