package bootstrap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/apply"
)

func diamond() []Step {
	return []Step{layer("base", "b1 b2"), layer("left", "l1", "base"), layer("right", "r1", "base"), layer("top", "t1", "left", "right")}
}

func TestRunFollowsTheGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster()
		for _, name := range []string{"base", "left", "right", "top"} {
			c.takes["apply "+name] = time.Minute
		}
		began := time.Now()
		outcomes, err := c.runner().Run(t.Context(), diamond())
		require.NoError(t, err)
		require.Equal(t, map[string]State{"base": StateApplied, "left": StateApplied, "right": StateApplied, "top": StateApplied}, states(outcomes))
		require.Equal(t, []string{"list", "lock", "list", "record base applying", "apply base", "ready base", "record base applied"}, c.log[:7])
		require.Equal(t, []string{"record top applying", "apply top", "ready top", "record top applied"}, c.log[len(c.log)-4:])
		require.Equal(t, 2, c.atOnce, "left and right go side by side")
		require.Equal(t, 3*time.Minute, time.Since(began))
		require.Equal(t, []string{"b1", "b2", "l1", "r1", "t1"}, names(c.objects))
		require.Equal(t, 2, outcomes[0].Objects)
		require.Equal(t, 2, outcomes[0].Changed)
		require.InDelta(t, 60, outcomes[0].Seconds, 0.1)
		require.Equal(t, []apply.ObjectRef{ref("b1"), ref("b2")}, c.records["base"].Objects)
	})
}

func TestSecondRunWritesNothing(t *testing.T) {
	c := newFakeCluster()
	handOver := diamond()
	handOver[3].Layer.HandOver = true
	for name, steps := range map[string][]Step{"before the hand-over": diamond(), "after it": handOver} {
		t.Run(name, func(t *testing.T) {
			_, err := c.runner().Run(t.Context(), steps)
			require.NoError(t, err)
			c.records["top"] = Record{Layer: "top", Key: steps[3].Key, Done: true, Schema: Schema, HandOver: steps[3].Layer.HandOver, Objects: c.records["top"].Objects}
			c.log, c.writes = nil, 0
			var events []Event
			r := c.runner()
			r.Emit = func(e Event) { events = append(events, e) }
			outcomes, err := r.Run(t.Context(), steps)
			require.NoError(t, err)
			require.Zero(t, c.writes)
			require.NotContains(t, c.log, "lock")
			if steps[3].Layer.HandOver {
				require.Equal(t, []string{"list"}, c.log, "Argo CD looks after the objects")
			}
			for i, outcome := range outcomes {
				require.Equal(t, StateCached, outcome.State)
				require.Equal(t, string(StateCached), events[i].State)
				require.Equal(t, 4, events[i].Done)
			}
			require.Len(t, events, 4)
		})
	}
}

func TestLostObjectsAreAppliedBeforeTheHandOver(t *testing.T) {
	c := newFakeCluster()
	_, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	delete(c.objects, ref("l1"))
	outcomes, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	require.Equal(t, map[string]State{"base": StateCached, "left": StateApplied, "right": StateCached, "top": StateCached}, states(outcomes))
	require.True(t, c.objects[ref("l1")])
}

func TestOnlyWhatDiffersRuns(t *testing.T) {
	c := newFakeCluster()
	_, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	steps := diamond()
	steps[1] = layer("left", "l2", "base")
	outcomes, err := c.runner().Run(t.Context(), steps)
	require.NoError(t, err)
	require.Equal(t, StateApplied, states(outcomes)["left"])
	require.Equal(t, StateCached, states(outcomes)["top"])
	require.Equal(t, 2, outcomes[1].Changed, "one object came, one went")
	require.Equal(t, []apply.ObjectRef{ref("l2")}, c.records["left"].Objects)
	require.Equal(t, []string{"b1", "b2", "l2", "r1", "t1"}, names(c.objects))
}

func TestAnotherSchemaAppliesAnew(t *testing.T) {
	c := newFakeCluster()
	_, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	record := c.records["top"]
	record.Schema = "0"
	c.records["top"] = record
	outcomes, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	require.Equal(t, StateApplied, states(outcomes)["top"])
}

func TestFailureLetsOthersFinishAndStartsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster()
		c.fail["apply left"] = errTest
		c.takes["apply left"], c.takes["apply right"] = time.Second, time.Minute
		steps := append(diamond(), layer("lonely", "x", "right"))
		outcomes, err := c.runner().Run(t.Context(), steps)
		require.ErrorIs(t, err, errTest)
		require.EqualError(t, err, "layer left: no such luck")
		require.Equal(t, map[string]State{"base": StateApplied, "left": StateFailed, "right": StateApplied, "top": StatePending, "lonely": StatePending}, states(outcomes))
		require.ErrorIs(t, outcomes[1].Err, errTest)
		require.False(t, c.records["left"].Done)

		delete(c.fail, "apply left")
		outcomes, err = c.runner().Run(t.Context(), steps)
		require.NoError(t, err)
		require.Equal(t, map[string]State{"base": StateCached, "left": StateApplied, "right": StateCached, "top": StateApplied, "lonely": StateApplied}, states(outcomes))
	})
}

func TestAllFailuresAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster()
		c.fail["ready left"], c.fail["ready right"] = errTest, errTest
		c.takes["ready left"], c.takes["ready right"] = time.Second, time.Second
		_, err := c.runner().Run(t.Context(), diamond())
		require.ErrorContains(t, err, "layer left: no such luck")
		require.ErrorContains(t, err, "layer right: no such luck")

		clear(c.fail)
		outcomes, err := c.runner().Run(t.Context(), diamond())
		require.NoError(t, err)
		require.Equal(t, StateApplied, states(outcomes)["left"], "its objects are there, its gates never held")
	})
}

func TestLayerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster()
		c.takes["ready base"] = time.Hour
		steps := diamond()
		steps[0].Layer.Timeout = 90 * time.Second
		began := time.Now()
		_, err := c.runner().Run(t.Context(), steps)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "layer base (not done within 1m30s)")
		require.Equal(t, 90*time.Second, time.Since(began))
	})
}

func TestLayersThatAreGoneAreRemoved(t *testing.T) {
	c := newFakeCluster()
	_, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	c.log = nil
	steps := []Step{diamond()[0], layer("right", "r1 t1", "base")}
	outcomes, err := c.runner().Run(t.Context(), steps)
	require.NoError(t, err)
	require.Equal(t, map[string]State{"base": StateCached, "right": StateApplied}, states(outcomes))
	require.Equal(t, []string{"b1", "b2", "r1", "t1"}, names(c.objects), "t1 has moved, so it stays")
	require.Less(t, slices.Index(c.log, "forget top"), slices.Index(c.log, "forget left"), "who needs goes before who is needed")
	require.Len(t, c.records, 2)
}

func TestRemovalIsTakenUpAgain(t *testing.T) {
	c := newFakeCluster()
	_, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	c.fail["prune"] = errTest
	_, err = c.runner().Run(t.Context(), diamond()[:3])
	require.ErrorContains(t, err, "removing layer top: no such luck")
	delete(c.fail, "prune")
	outcomes, err := c.runner().Run(t.Context(), diamond())
	require.NoError(t, err)
	require.Equal(t, StateApplied, states(outcomes)["top"], "the record no longer says that it is done")
}

func TestNoLayersIsAMistake(t *testing.T) {
	c := newFakeCluster()
	_, err := c.runner().Run(t.Context(), nil)
	require.ErrorContains(t, err, "no layers")
	_, err = c.runner().Run(t.Context(), []Step{layer("a", "x", "b"), layer("b", "y")})
	require.ErrorContains(t, err, "layer a needs b, which doesn't come before it")
	require.Empty(t, c.log)
}

func TestSomebodyElsesLock(t *testing.T) {
	c := newFakeCluster()
	c.fail["lock"] = &HeldError{Holder: "process 7 on there", Since: time.Unix(0, 0)}
	outcomes, err := c.runner().Run(t.Context(), diamond())
	var held *HeldError
	require.ErrorAs(t, err, &held)
	require.EqualError(t, err, "another run is changing this cluster: process 7 on there, since 00:00:00 UTC; wait until it has ended, or stop it")
	require.Equal(t, StatePending, outcomes[0].State)
	require.Zero(t, c.writes)
}

func TestEventsTellTheStory(t *testing.T) {
	c := newFakeCluster()
	r := c.runner()
	var story []string
	r.Emit = func(e Event) {
		story = append(story, fmt.Sprintf("%s %s %s %d/%d", e.Layer, e.State, e.Message, e.Done, e.Total))
	}
	r.Snapshots = &snapshots{cluster: c, err: errTest}
	_, err := r.Run(t.Context(), []Step{layer("a", "x"), layer("b", "y", "a")})
	require.NoError(t, err, "a snapshot that isn't kept is no failure")
	require.Equal(t, []string{
		"a pending  0/2", "b pending  0/2",
		"a running  0/2", "a waiting gates 0/2", "a applied no snapshot kept: no such luck 1/2",
		"b running  1/2", "b waiting gates 1/2", "b applied no snapshot kept: no such luck 2/2",
	}, story)
}

func TestSnapshotsHoldTheKeysOfWhatIsDone(t *testing.T) {
	c := newFakeCluster()
	r, s := c.runner(), &snapshots{cluster: c}
	r.Snapshots = s
	_, err := r.Run(t.Context(), diamond())
	require.NoError(t, err)
	require.Len(t, s.kept, 4)
	require.Equal(t, map[string]string{"base": "base:b1 b2"}, s.kept[0].keys)
	require.Len(t, s.kept[3].keys, 4)
	for _, snapshot := range s.kept {
		for name := range snapshot.keys {
			require.True(t, snapshot.records[name].Done, "a layer with a key in a snapshot is recorded as done in it")
		}
	}
	_, err = r.Run(t.Context(), diamond())
	require.NoError(t, err)
	require.Len(t, s.kept, 4, "nothing new, nothing to keep")
}

// A snapshot taken while another layer is half-way holds objects of that layer. A cluster restored from it must not keep them
// when the layer has changed, or gone, since.
func TestSnapshotOfAHalfAppliedLayerLeavesNoOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster()
		r, s := c.runner(), &snapshots{cluster: c}
		r.Snapshots = s
		c.takes["apply left"] = time.Second  // done while right waits for its gates
		c.takes["ready right"] = time.Minute // its objects are there by then
		_, err := r.Run(t.Context(), diamond())
		require.NoError(t, err)
		half := s.kept[1]
		require.Contains(t, half.keys, "left")
		require.NotContains(t, half.keys, "right")
		require.True(t, half.objects[ref("r1")], "the snapshot has to hold what this test is about")

		for name, steps := range map[string][]Step{
			"changed": {diamond()[0], diamond()[1], layer("right", "r2", "base")},
			"gone":    diamond()[:2],
		} {
			restored := newFakeCluster()
			restored.objects, restored.records = half.objects, half.records
			outcomes, err := restored.runner().Run(t.Context(), steps)
			require.NoError(t, err)
			require.Equal(t, StateCached, states(outcomes)["left"])
			require.NotContains(t, restored.objects, ref("r1"), name)
		}
	})
}

// Whatever moment a run is cut off at, the next one ends as if nothing had happened, also with other layers.
func TestRunResumesFromAnyPoint(t *testing.T) {
	before, after := diamond(), []Step{layer("base", "b2 b3"), layer("right", "r1 l1", "base"), layer("new", "n1", "right")}
	for cut := range 40 {
		c := newFakeCluster()
		ctx, cancel := context.WithCancel(t.Context())
		count := 0
		c.before = func(string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if count++; count > cut {
				cancel()
			}
		}
		_, err := c.runner().Run(ctx, before)
		if ctx.Err() != nil && count > cut {
			require.ErrorIs(t, err, context.Canceled, "cut at %d", cut)
		}
		cancel()
		c.before = nil
		steps := [][]Step{before, after}[rand.IntN(2)]
		outcomes, err := c.runner().Run(t.Context(), steps)
		require.NoError(t, err, "cut at %d", cut)
		wanted := map[apply.ObjectRef]bool{}
		for i, s := range steps {
			require.Contains(t, []State{StateApplied, StateCached}, outcomes[i].State)
			for _, obj := range s.Objects {
				wanted[ref(obj.GetName())] = true
			}
		}
		require.Equal(t, wanted, c.objects, "cut at %d", cut)
	}
}

func TestRecorded(t *testing.T) {
	c := newFakeCluster()
	c.fail["ready left"] = errTest
	steps := diamond()
	_, err := c.runner().Run(t.Context(), steps)
	require.Error(t, err)
	delete(c.records, "right")
	outcomes, err := Recorded(t.Context(), c, nil)
	require.NoError(t, err)
	require.Empty(t, outcomes)
}
