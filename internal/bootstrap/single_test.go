package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/apply"
)

func keysOf(steps []Step) map[string]string {
	keys := map[string]string{}
	for _, s := range steps {
		keys[s.Layer.Name] = s.Key
	}
	return keys
}

func TestLayersOneByOneAreTheSameAsARun(t *testing.T) {
	c := newFakeCluster()
	for _, s := range diamond() {
		outcome, err := c.runner().RunOne(t.Context(), Single{Step: s, Needed: keysOf(diamond())})
		require.NoError(t, err)
		require.Equal(t, StateApplied, outcome.State)
	}
	outcomes, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	for _, outcome := range outcomes {
		require.Equal(t, StateCached, outcome.State)
	}
}

func TestASecondTimeWritesNothing(t *testing.T) {
	c := newFakeCluster()
	s := diamond()[0]
	_, err := c.runner().RunOne(t.Context(), Single{Step: s})
	require.NoError(t, err)
	c.writes = 0
	outcome, err := c.runner().RunOne(t.Context(), Single{Step: s})
	require.NoError(t, err)
	require.Equal(t, StateCached, outcome.State)
	require.Zero(t, c.writes)
}

func TestALayerWaitsForWhatItNeeds(t *testing.T) {
	c := newFakeCluster()
	steps := diamond()
	_, err := c.runner().RunOne(t.Context(), Single{Step: steps[1], Needed: keysOf(steps)})
	require.EqualError(t, err, "layer left needs base, which isn't done on this cluster: apply it first")
	require.Zero(t, c.writes)

	_, err = c.runner().RunOne(t.Context(), Single{Step: steps[0]})
	require.NoError(t, err)
	_, err = c.runner().RunOne(t.Context(), Single{Step: steps[1], Needed: map[string]string{"base": "another"}})
	require.ErrorContains(t, err, "the cluster has another state of it")
}

func TestAFailureIsRecordedAndTakenUp(t *testing.T) {
	c := newFakeCluster()
	s := diamond()[0]
	c.fail["ready base"] = errTest
	outcome, err := c.runner().RunOne(t.Context(), Single{Step: s})
	require.ErrorIs(t, err, errTest)
	require.Equal(t, StateFailed, outcome.State)
	delete(c.fail, "ready base")
	outcome, err = c.runner().RunOne(t.Context(), Single{Step: s})
	require.NoError(t, err)
	require.Equal(t, StateApplied, outcome.State)
}

func TestWhatMovedToAnotherLayerStays(t *testing.T) {
	c := newFakeCluster()
	_, err := c.runner().RunOne(t.Context(), Single{Step: layer("a", "x y z")})
	require.NoError(t, err)
	_, err = c.runner().RunOne(t.Context(), Single{Step: layer("a", "x"), Others: []Step{layer("b", "y")}})
	require.NoError(t, err)
	require.Equal(t, []string{"x", "y"}, names(c.objects), "y belongs to b now; z is nobody's")
}

// A step that another program remembers as done must not be taken for done after the layer went elsewhere in between.
func TestTurnsTellAWayThereAndBackApart(t *testing.T) {
	c := newFakeCluster()
	there, back := layer("a", "x"), layer("a", "y")
	stand := func(s Step) Standing {
		standings, err := c.runner().Stand(t.Context(), []Step{s})
		require.NoError(t, err)
		return standings[0]
	}
	bring := func(s Step) Standing {
		standing := stand(s)
		require.Equal(t, StatePending, standing.State)
		require.NotEqual(t, standing.Turn, stand(s).Turn, "nobody has seen it before")
		_, err := c.runner().RunOne(t.Context(), Single{Step: s, Turn: standing.Turn})
		require.NoError(t, err)
		standing.State = StateCached
		require.Equal(t, standing, stand(s), "the same turn from then on")
		return standing
	}
	first := bring(there)
	require.False(t, first.Replaces)
	require.True(t, bring(back).Replaces)
	require.NotEqual(t, first.Turn, bring(there).Turn)

	_, err := c.runner().Run(t.Context(), []Step{layer("b", "z")})
	require.NoError(t, err, "a is removed, record and all")
	require.NotEqual(t, first.Turn, bring(there).Turn)
}

func TestADamagedLayerIsPending(t *testing.T) {
	c := newFakeCluster()
	s := layer("a", "x")
	_, err := c.runner().RunOne(t.Context(), Single{Step: s})
	require.NoError(t, err)
	delete(c.objects, apply.ObjectRef{Kind: "ConfigMap", Namespace: "shared", Name: "x"})
	standings, err := c.runner().Stand(t.Context(), []Step{s})
	require.NoError(t, err)
	require.Equal(t, StatePending, standings[0].State)
	outcome, err := c.runner().RunOne(t.Context(), Single{Step: s})
	require.NoError(t, err)
	require.Equal(t, StateApplied, outcome.State)
}
