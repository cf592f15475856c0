package bootstrap

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/platform"
)

// kubernetes is a fake API server that, other than the fake as it comes, gives Leases versions and insists on them.
func kubernetes() *fake.Clientset {
	set := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "first"}})
	version := 0
	set.PrependReactor("*", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		write, ok := action.(clienttesting.UpdateAction)
		if !ok {
			return false, nil, nil
		}
		lease := write.GetObject().(*coordinationv1.Lease)
		if action.GetVerb() == "update" && lease.ResourceVersion != strconv.Itoa(version) {
			return true, nil, apierrors.NewConflict(coordinationv1.Resource("leases"), lease.Name, errors.New("changed"))
		}
		version++
		lease.ResourceVersion = strconv.Itoa(version)
		return false, nil, nil
	})
	return set
}

func recordsAs(set *fake.Clientset, self holder) *ConfigMaps {
	return &ConfigMaps{core: set.CoreV1(), leases: set.CoordinationV1(), self: self}
}

// elsewhere is a process that can't be seen from here.
func elsewhere(pid int) holder {
	return holder{host: "elsewhere", machine: "machine" + strconv.Itoa(pid), pid: pid, started: "1"}
}

func quiet(string) {}

func TestLockKeepsOthersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := kubernetes()
		_, release, err := recordsAs(set, elsewhere(1)).Lock(t.Context(), quiet)
		require.NoError(t, err)
		began := time.Now()
		_, _, err = recordsAs(set, elsewhere(2)).Lock(t.Context(), quiet)
		var held *HeldError
		require.ErrorAs(t, err, &held)
		require.Equal(t, "process 1 on elsewhere", held.Holder)
		require.Less(t, time.Since(began), leaseDuration, "one renewal is sign enough")
		release()
		_, release, err = recordsAs(set, elsewhere(2)).Lock(t.Context(), quiet)
		require.NoError(t, err)
		release()
	})
}

func TestLockOfADeadHolderElsewhereRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := kubernetes()
		dead := recordsAs(set, elsewhere(1))
		_, _, err := dead.tryLock(t.Context(), claim{cluster: "first", run: "x"}, nil)
		require.NoError(t, err)
		var said []string
		began := time.Now()
		_, release, err := recordsAs(set, elsewhere(2)).Lock(t.Context(), func(text string) { said = append(said, text) })
		require.NoError(t, err)
		require.InDelta(t, leaseDuration.Seconds(), time.Since(began).Seconds(), 2)
		require.Len(t, said, 1)
		release()
	})
}

func TestLockOfADeadHolderHereIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		self := thisProcess()
		if self.started == "" {
			t.Skip("this system doesn't tell when a process was started")
		}
		for name, dead := range map[string]holder{
			"no such process": {host: self.host, machine: self.machine, pid: 1 << 30, started: "1"},
			"another process": {host: self.host, machine: self.machine, pid: self.pid, started: "1"},
		} {
			set := kubernetes()
			_, _, err := recordsAs(set, dead).tryLock(t.Context(), claim{cluster: "first", run: "x"}, nil)
			require.NoError(t, err)
			began := time.Now()
			_, release, err := recordsAs(set, self).Lock(t.Context(), quiet)
			require.NoError(t, err, name)
			require.Zero(t, time.Since(began))

			_, _, err = recordsAs(set, self).Lock(t.Context(), quiet)
			var held *HeldError
			require.ErrorAs(t, err, &held, "this process lives")
			require.Zero(t, time.Since(began))
			release()
		}
	})
}

func TestLockFromASnapshotIsNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := kubernetes()
		_, _, err := recordsAs(set, elsewhere(1)).tryLock(t.Context(), claim{cluster: "the one that was saved", run: "x"}, nil)
		require.NoError(t, err)
		began := time.Now()
		_, release, err := recordsAs(set, elsewhere(2)).Lock(t.Context(), quiet)
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		release()
	})
}

func TestLockThatIsLostEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := kubernetes()
		held, release, err := recordsAs(set, elsewhere(1)).Lock(t.Context(), quiet)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, held.Err(), "it is renewed")
		require.NoError(t, set.CoordinationV1().Leases(namespace).Delete(t.Context(), leaseName, metav1.DeleteOptions{}))
		<-held.Done()
		require.ErrorIs(t, context.Cause(held), errLost)
		release()
	})
}

func TestLockOutlivesABrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := kubernetes()
		var broken atomic.Bool
		set.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return broken.Load(), nil, errors.New("connection refused")
		})
		held, release, err := recordsAs(set, elsewhere(1)).Lock(t.Context(), quiet)
		require.NoError(t, err)
		broken.Store(true)
		time.Sleep(renewEvery + time.Second)
		broken.Store(false)
		time.Sleep(time.Minute)
		require.NoError(t, held.Err())
		broken.Store(true)
		cut := time.Now()
		<-held.Done()
		require.ErrorIs(t, context.Cause(held), errLost)
		require.LessOrEqual(t, time.Since(cut), leaseDuration, "it must stop before somebody else may start")
		release()
	})
}

func TestReleaseLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := kubernetes()
		held, release, err := recordsAs(set, elsewhere(1)).Lock(t.Context(), quiet)
		require.NoError(t, err)
		release()
		require.Error(t, held.Err())
		leases, err := set.CoordinationV1().Leases(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.Empty(t, leases.Items)
	})
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	set := kubernetes()
	records := recordsAs(set, elsewhere(1))
	none, err := records.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
	want := Record{
		Layer: "cilium", Key: "k", Done: true, Schema: Schema, Needs: []string{"a", "b"}, HandOver: true, Seconds: 1.5, Changed: 3,
		Objects: []apply.ObjectRef{{Group: "apps", Kind: "Deployment", Namespace: "n", Name: "d", App: "cilium"}},
	}
	require.NoError(t, records.Put(t.Context(), want))
	want.Changed = 4
	require.NoError(t, records.Put(t.Context(), want))
	got, err := records.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Record{want}, got)
	outcomes, err := Recorded(t.Context(), records, []platform.Layer{{Component: platform.Component{Name: "cilium"}}, {Component: platform.Component{Name: "other"}}})
	require.NoError(t, err)
	require.Equal(t, []Outcome{{Name: "cilium", Key: "k", State: StateApplied, Seconds: 1.5, Objects: 1, Changed: 4}, {Name: "other", State: StatePending}}, outcomes)
	require.NoError(t, records.Delete(t.Context(), "cilium"))
	require.NoError(t, records.Delete(t.Context(), "cilium"))
	got, err = records.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestRecordThatCantBeRead(t *testing.T) {
	set := kubernetes()
	_, err := set.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "layer-x", Labels: map[string]string{managedBy: manager},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = recordsAs(set, elsewhere(1)).List(t.Context())
	require.ErrorContains(t, err, "ConfigMap idp-system/layer-x: its list of objects can't be read")
	require.ErrorContains(t, err, "delete it")
}
