package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/ptr"
)

const (
	leaseName = "idp-up"
	// leaseDuration is how long a lock lives without a sign of its holder, where the holder can't be seen from here.
	leaseDuration = 30 * time.Second
	renewEvery    = 5 * time.Second
	lookEvery     = time.Second
	// renewWithin is how long the holder goes on without a renewal: less than leaseDuration by one round of waiting and one
	// request that hangs, so that it has stopped before somebody else may start.
	renewWithin = leaseDuration - 2*renewEvery
)

const (
	annotationCluster = "idp.dev/cluster"
	annotationMachine = "idp.dev/machine"
	annotationPID     = "idp.dev/pid"
	annotationStarted = "idp.dev/started"
	annotationRun     = "idp.dev/run"
)

// HeldError is a lock that somebody else holds.
type HeldError struct {
	Holder string
	Since  time.Time
}

// Error names the holder and what to do.
func (e *HeldError) Error() string {
	return fmt.Sprintf("another run is changing this cluster: %s, since %s; wait until it has ended, or stop it",
		e.Holder, e.Since.UTC().Format("15:04:05 UTC"))
}

// errLost is the cause of the end of a held context.
var errLost = errors.New("the lock on this cluster was lost to another run, or could not be renewed")

// claim is one call of Lock.
type claim struct {
	cluster string // UID of the cluster
	run     string // tells the runs of one process apart, and a Lease of this one whose making was answered by a broken connection
}

// Lock implements Records with a Lease. A holder that was killed is found out at once on the same machine, and after
// leaseDuration without a renewal elsewhere. The duration is measured here rather than read from the Lease's times, since
// clocks differ.
func (c *ConfigMaps) Lock(ctx context.Context, say func(string)) (context.Context, func(), error) {
	if err := c.ensureNamespace(ctx); err != nil {
		return nil, nil, err
	}
	cluster, err := c.clusterUID(ctx)
	if err != nil {
		return nil, nil, err
	}
	lease, err := c.acquire(ctx, claim{cluster: cluster, run: string(uuid.NewUUID())}, say)
	if err != nil {
		return nil, nil, err
	}
	held, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.renew(held, cancel, lease)
	}()
	release := func() {
		cancel(context.Canceled)
		<-stopped
		c.unlock(context.WithoutCancel(ctx), lease)
	}
	return held, release, nil
}

// clusterUID tells a cluster from the one whose snapshot it was restored from: a lock that came with the snapshot is nobody's.
func (c *ConfigMaps) clusterUID(ctx context.Context) (uid string, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		system, err := c.core.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if err == nil {
			uid = string(system.UID)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return uid, nil
}

func (c *ConfigMaps) acquire(ctx context.Context, who claim, say func(string)) (*coordinationv1.Lease, error) {
	var seen string     // the version of the Lease that is being watched for a sign of life
	var since time.Time // zero until then
	for {
		live, taken, err := c.tryLock(ctx, who, func(live *coordinationv1.Lease) bool {
			return !since.IsZero() && live.ResourceVersion == seen && time.Since(since) >= leaseDuration
		})
		if err != nil || taken {
			return live, err
		}
		owner := holderOf(live)
		if c.visible(owner) || !since.IsZero() && seen != live.ResourceVersion {
			return nil, &HeldError{Holder: ptr.Deref(live.Spec.HolderIdentity, "unknown"), Since: acquired(live)}
		}
		if since.IsZero() {
			seen, since = live.ResourceVersion, time.Now()
			say(fmt.Sprintf("the lock of another run, %s: waiting up to %s for a sign that it is still there", ptr.Deref(live.Spec.HolderIdentity, "unknown"), leaseDuration))
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// visible says that a holder can be seen from here, and so is known to be alive when it isn't gone.
func (c *ConfigMaps) visible(owner holder) bool {
	return owner.machine != "" && owner.machine == c.self.machine && owner.started != ""
}

// tryLock takes the lock if it is free, abandoned, or expired says so. Otherwise it returns the Lease as it is.
func (c *ConfigMaps) tryLock(ctx context.Context, who claim, expired func(*coordinationv1.Lease) bool) (lease *coordinationv1.Lease, taken bool, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		lease, taken, err = c.tryLockOnce(ctx, who, expired)
		return err // a conflict is somebody who was quicker: look again
	})
	if err != nil {
		return nil, false, fmt.Errorf("locking the cluster (Lease %s/%s): %w", namespace, leaseName, err)
	}
	return lease, taken, nil
}

func (c *ConfigMaps) tryLockOnce(ctx context.Context, who claim, expired func(*coordinationv1.Lease) bool) (*coordinationv1.Lease, bool, error) {
	leases := c.leases.Leases(namespace)
	live, err := leases.Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		made, err := leases.Create(ctx, c.newLease(who, ""), metav1.CreateOptions{FieldManager: manager})
		return made, err == nil, err
	}
	if err != nil {
		return nil, false, err
	}
	if live.Annotations[annotationRun] == who.run {
		return live, true, nil
	}
	abandoned := live.Annotations[annotationCluster] != who.cluster || holderOf(live).gone(c.self)
	if !abandoned && !expired(live) {
		return live, false, nil
	}
	ours, err := leases.Update(ctx, c.newLease(who, live.ResourceVersion), metav1.UpdateOptions{FieldManager: manager})
	return ours, err == nil, err
}

func (c *ConfigMaps) newLease(who claim, version string) *coordinationv1.Lease {
	now := metav1.NowMicro()
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: leaseName, Namespace: namespace, ResourceVersion: version,
			Labels: map[string]string{managedBy: manager},
			Annotations: map[string]string{
				annotationCluster: who.cluster, annotationRun: who.run, annotationMachine: c.self.machine,
				annotationPID: strconv.Itoa(c.self.pid), annotationStarted: c.self.started,
			},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To(c.self.String()), LeaseDurationSeconds: ptr.To(int32(leaseDuration / time.Second)),
			AcquireTime: &now, RenewTime: &now,
		},
	}
}

func holderOf(lease *coordinationv1.Lease) holder {
	pid, _ := strconv.Atoi(lease.Annotations[annotationPID])
	return holder{
		host: ptr.Deref(lease.Spec.HolderIdentity, ""), machine: lease.Annotations[annotationMachine],
		pid: pid, started: lease.Annotations[annotationStarted],
	}
}

func acquired(lease *coordinationv1.Lease) time.Time {
	if lease.Spec.AcquireTime == nil {
		return lease.CreationTimestamp.Time
	}
	return lease.Spec.AcquireTime.Time
}

// renew shows signs of life until the context ends, and ends it when the lock is lost. lease is kept current.
func (c *ConfigMaps) renew(ctx context.Context, lost context.CancelCauseFunc, lease *coordinationv1.Lease) {
	last := time.Now()
	for {
		select {
		case <-time.After(renewEvery):
		case <-ctx.Done():
			return
		}
		renewed, err := c.renewOnce(ctx, lease)
		switch {
		case err == nil:
			last = time.Now()
			*lease = *renewed
		case ctx.Err() != nil:
			return
		case errors.Is(err, errTaken) || apierrors.IsNotFound(err) || time.Since(last) >= renewWithin:
			lost(fmt.Errorf("%w: %w", errLost, err))
			return
		}
	}
}

// errTaken is a Lease that carries another run's name.
var errTaken = errors.New("it carries another run's name")

// renewOnce is one renewal. A conflict may come from a renewal of ours that was stored while its answer got lost.
func (c *ConfigMaps) renewOnce(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	now := metav1.NowMicro()
	wanted := lease.DeepCopy()
	wanted.Spec.RenewTime = &now
	renewed, err := c.leases.Leases(namespace).Update(ctx, wanted, metav1.UpdateOptions{FieldManager: manager})
	if !apierrors.IsConflict(err) {
		return renewed, err
	}
	live, err := c.leases.Leases(namespace).Get(ctx, leaseName, metav1.GetOptions{})
	if err == nil && live.Annotations[annotationRun] != lease.Annotations[annotationRun] {
		return nil, errTaken
	}
	return live, err
}

// unlock deletes the Lease if it is still ours. If that fails, the lock runs out by itself.
func (c *ConfigMaps) unlock(ctx context.Context, lease *coordinationv1.Lease) {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	_ = retry(ctx, func(ctx context.Context) error {
		live, err := c.leases.Leases(namespace).Get(ctx, leaseName, metav1.GetOptions{})
		if err != nil || live.Annotations[annotationRun] != lease.Annotations[annotationRun] {
			return err
		}
		return c.leases.Leases(namespace).Delete(ctx, leaseName, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion},
		})
	})
}
