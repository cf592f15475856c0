package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/idp-blueprint/idp/internal/apply"
)

const (
	namespace    = "idp-system" // of the records and the lock
	recordPrefix = "layer-"
	managedBy    = "app.kubernetes.io/managed-by"
	manager      = "idp"
	// requestTimeout bounds a read or write of a record, retries included.
	requestTimeout = 30 * time.Second
)

// Record is what the cluster knows about one layer.
type Record struct {
	Layer    string
	Key      string
	Done     bool              // false from before the first write of a run until its gates hold
	Objects  []apply.ObjectRef // while not done: also everything of former runs that may still be there
	Needs    []string          // layers that this one needs, by name
	HandOver bool
	Schema   string
	Seconds  float64
	Changed  int
	Turn     string // names the run of this layer alone that brought it; empty where a whole run did
	Replaced bool   // that turn came after another
}

func (r Record) outcome() Outcome {
	o := Outcome{Name: r.Layer, Key: r.Key, State: StatePending, Seconds: r.Seconds, Objects: len(r.Objects), Changed: r.Changed}
	if r.Done {
		o.State = StateApplied
	}
	return o
}

// Records are the records of one cluster, and the lock that whoever changes them holds.
type Records interface {
	List(ctx context.Context) ([]Record, error) // sorted by name; empty on a cluster without the platform
	Put(ctx context.Context, r Record) error
	Delete(ctx context.Context, layer string) error
	// Lock takes the cluster for one run. The context ends when release is called, or before, with a cause, when the lock is
	// lost. Somebody else's lock is a *HeldError.
	Lock(ctx context.Context, say func(string)) (held context.Context, release func(), err error)
}

// ConfigMaps are records as ConfigMaps in the cluster itself, where a snapshot of the cluster holds them too.
type ConfigMaps struct {
	core   coreclient.CoreV1Interface
	leases coordinationclient.LeasesGetter
	self   holder
}

// NewRecords are the records of the cluster that cfg reaches. It sends nothing yet.
func NewRecords(cfg *rest.Config) (*ConfigMaps, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.RateLimiter = -1, nil // a renewal of the lock must not queue behind anything
	core, err := coreclient.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	leases, err := coordinationclient.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	return &ConfigMaps{core: core, leases: leases, self: thisProcess()}, nil
}

// List implements Records with one request.
func (c *ConfigMaps) List(ctx context.Context) ([]Record, error) {
	var list *corev1.ConfigMapList
	err := retry(ctx, func(ctx context.Context) (err error) {
		list, err = c.core.ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: managedBy + "=" + manager})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the records in namespace %s: %w", namespace, err)
	}
	var records []Record
	for _, stored := range list.Items {
		if !strings.HasPrefix(stored.Name, recordPrefix) {
			continue
		}
		record, err := decodeRecord(&stored)
		if err != nil {
			return nil, fmt.Errorf("ConfigMap %s/%s: %w; delete it to have its layer applied anew", namespace, stored.Name, err)
		}
		records = append(records, record)
	}
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.Layer, b.Layer) })
	return records, nil
}

// Put implements Records.
func (c *ConfigMaps) Put(ctx context.Context, r Record) error {
	stored, err := encodeRecord(r)
	if err != nil {
		return err
	}
	err = retry(ctx, func(ctx context.Context) error {
		_, err := c.core.ConfigMaps(namespace).Update(ctx, stored, metav1.UpdateOptions{FieldManager: manager})
		if apierrors.IsNotFound(err) {
			_, err = c.core.ConfigMaps(namespace).Create(ctx, stored, metav1.CreateOptions{FieldManager: manager})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("recording layer %s: %w", r.Layer, err)
	}
	return nil
}

// Delete implements Records.
func (c *ConfigMaps) Delete(ctx context.Context, layer string) error {
	err := retry(ctx, func(ctx context.Context) error {
		err := c.core.ConfigMaps(namespace).Delete(ctx, recordPrefix+layer, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting layer %s: %w", layer, err)
	}
	return nil
}

// ensureNamespace creates the namespace of the records where it isn't there.
func (c *ConfigMaps) ensureNamespace(ctx context.Context) error {
	wanted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{managedBy: manager}}}
	err := retry(ctx, func(ctx context.Context) error {
		_, err := c.core.Namespaces().Create(ctx, wanted, metav1.CreateOptions{FieldManager: manager})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("creating namespace %s: %w", namespace, err)
	}
	return nil
}

const stateApplying = "applying"

func encodeRecord(r Record) (*corev1.ConfigMap, error) {
	objects, err := json.Marshal(r.Objects)
	if err != nil {
		return nil, fmt.Errorf("encoding the objects of layer %s: %w", r.Layer, err)
	}
	state := stateApplying
	if r.Done {
		state = string(StateApplied)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: recordPrefix + r.Layer, Namespace: namespace, Labels: map[string]string{managedBy: manager}},
		Data: map[string]string{
			"key": r.Key, "state": state, "schema": r.Schema, "objects": string(objects),
			"needs": strings.Join(r.Needs, ","), "handover": strconv.FormatBool(r.HandOver),
			"seconds": strconv.FormatFloat(r.Seconds, 'f', 3, 64), "changed": strconv.Itoa(r.Changed), "turn": r.Turn, "replaced": strconv.FormatBool(r.Replaced),
		},
	}, nil
}

// decodeRecord reads what this and earlier schemas wrote. Only the objects must be readable: without them nothing that is in
// the cluster could be told from what should be.
func decodeRecord(stored *corev1.ConfigMap) (Record, error) {
	data := stored.Data
	r := Record{
		Layer: strings.TrimPrefix(stored.Name, recordPrefix), Key: data["key"], Done: data["state"] == string(StateApplied),
		Schema: data["schema"], HandOver: data["handover"] == "true", Turn: data["turn"], Replaced: data["replaced"] == "true",
	}
	if err := json.Unmarshal([]byte(data["objects"]), &r.Objects); err != nil {
		return Record{}, fmt.Errorf("its list of objects can't be read: %w", err)
	}
	if data["needs"] != "" {
		r.Needs = strings.Split(data["needs"], ",")
	}
	r.Seconds, _ = strconv.ParseFloat(data["seconds"], 64)
	r.Changed, _ = strconv.Atoi(data["changed"])
	return r, nil
}

func recordsByLayer(ctx context.Context, records Records) (map[string]Record, error) {
	list, err := records.List(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]Record, len(list))
	for _, r := range list {
		known[r.Layer] = r
	}
	return known, nil
}

// retry repeats a request that failed for a reason that passes, for a while.
func retry(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := request(ctx)
		if err == nil || !apply.Transient(err) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}
