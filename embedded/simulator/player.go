package simulator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// digestAnnotation keeps the digest of what was applied, so that an object that is as it should be isn't written again.
const digestAnnotation = "idp.dev/digest"

// playerKey names one object of one effect's kind.
type playerKey struct{ resource, object string }

// player plays the controllers of the effects: it watches the kinds that exist, from the moment their definition is established.
type player struct {
	effects map[string]*effect // by resource
	dyn     dynamic.Interface
	mapper  meta.ResettableRESTMapper
	ca      *authority
	ledger  *ledger
	log     *slog.Logger
	queue   *work[playerKey]

	mu      sync.Mutex
	scenes  map[string]*scene
	waiting map[playerKey]bool
	settled map[types.UID]map[string]fate
}

// scene is one kind that is being played.
type scene struct {
	effect *effect
	gvr    schema.GroupVersionResource
	status bool // the kind has the status subresource
	store  cache.Store
	stop   context.CancelFunc
}

// fate remembers what became of a status key that the API server didn't keep as written: pruned fields aren't written for ever.
type fate struct{ wanted, kept any }

func newPlayer(effects []*effect, except []string, client kubernetes.Interface, dyn dynamic.Interface, ca *authority, l *ledger, log *slog.Logger) *player {
	p := &player{
		effects: map[string]*effect{}, dyn: dyn, ca: ca, ledger: l, log: log,
		mapper:  restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery())),
		scenes:  map[string]*scene{},
		waiting: map[playerKey]bool{},
		settled: map[types.UID]map[string]fate{},
	}
	for _, e := range effects {
		if !slices.Contains(except, e.group()) {
			p.effects[e.Resource] = e
		}
	}
	p.queue = newWork(log, p.reconcile)
	return p
}

// Start plays the built-in kinds at once and every other kind as its definition comes and goes.
func (p *player) Start(ctx context.Context, crds cache.SharedIndexInformer) error {
	for _, e := range p.effects {
		if e.BuiltIn {
			p.open(ctx, e, schema.GroupVersionResource{Group: e.group(), Version: e.Version, Resource: e.plural()}, true)
		}
	}
	changed := func(obj any) {
		c := obj.(*crd)
		e := p.effects[c.Name]
		if e == nil || e.BuiltIn {
			return
		}
		version, ok := c.version(e.Version)
		if !ok || !c.established() {
			p.close(c.Name)
			return
		}
		p.open(ctx, e, schema.GroupVersionResource{Group: e.group(), Version: version.Name, Resource: e.plural()}, version.Subresources.Status != nil)
	}
	_, err := crds.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, obj any) { changed(obj) },
		DeleteFunc: func(obj any) {
			if name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				p.close(name)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch CRDs: %w", err)
	}
	go p.queue.Run(ctx)
	return nil
}

const (
	youth      = 2 * time.Minute
	youngWatch = int64(10) // seconds
)

// shortAtFirst keeps the watches of a kind short while its definition is young. A watch that begins as the API server changes the
// storage behind a new definition can stay silent until it times out, which by default takes more than five minutes.
func shortAtFirst() dynamicinformer.TweakListOptionsFunc {
	opened := time.Now()
	return func(o *metav1.ListOptions) {
		if o.TimeoutSeconds != nil && time.Since(opened) < youth {
			o.TimeoutSeconds = ptr.To(youngWatch)
		}
	}
}

// open starts the watch of one kind, unless it is on.
func (p *player) open(ctx context.Context, e *effect, gvr schema.GroupVersionResource, status bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.scenes[e.Resource]; s != nil {
		if s.gvr == gvr && s.status == status {
			return
		}
		s.stop()
	}
	ctx, stop := context.WithCancel(ctx)
	informer := dynamicinformer.NewFilteredDynamicInformer(p.dyn, gvr, "", time.Minute, cache.Indexers{}, shortAtFirst()).Informer()
	p.scenes[e.Resource] = &scene{effect: e, gvr: gvr, status: status, store: informer.GetStore(), stop: stop}
	add := func(obj any) {
		if key, err := cache.MetaNamespaceKeyFunc(obj); err == nil {
			p.queue.Add(playerKey{e.Resource, key})
		}
	}
	if err := informer.SetTransform(forgetManagers); err != nil {
		p.log.Error("set up a watch", "resource", e.Resource, "error", err)
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, obj any) { add(obj) },
		DeleteFunc: func(obj any) {
			if o, ok := obj.(*unstructured.Unstructured); ok {
				p.mu.Lock()
				delete(p.settled, o.GetUID())
				p.mu.Unlock()
			}
		},
	}); err != nil {
		p.log.Error("set up a watch", "resource", e.Resource, "error", err)
	}
	go informer.Run(ctx.Done())
}

func (p *player) close(resource string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.scenes[resource]; s != nil {
		s.stop()
		delete(p.scenes, resource)
	}
}

func (p *player) reconcile(ctx context.Context, key playerKey) (bool, error) {
	p.mu.Lock()
	s := p.scenes[key.resource]
	delete(p.waiting, key)
	p.mu.Unlock()
	if s == nil {
		return false, nil
	}
	item, ok, err := s.store.GetByKey(key.object)
	if err != nil || !ok {
		return false, err
	}
	object := item.(*unstructured.Unstructured)
	if object.GetDeletionTimestamp() != nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	world := &world{ctx: ctx, player: p}
	out, err := s.effect.Render(object.Object, world)
	if err != nil {
		return false, fmt.Errorf("%s: %w", key.object, err)
	}
	if len(out.Status) == 0 && len(out.Objects) == 0 {
		return world.again, nil
	}
	wrote := false
	for _, m := range out.Objects {
		did, err := p.apply(ctx, object, m)
		if err != nil {
			return false, err
		}
		wrote = wrote || did
	}
	did, err := p.writeStatus(ctx, s, object, out.Status)
	if err != nil {
		return false, err
	}
	p.ledger.Add("controller " + s.effect.Part)
	p.mu.Lock()
	if world.again {
		p.waiting[key] = true
	}
	var wake []playerKey
	if wrote || did {
		for k := range p.waiting {
			if k != key {
				wake = append(wake, k)
			}
		}
	}
	p.mu.Unlock()
	// What others wait for may just have been made; they needn't sit out their pause.
	for _, k := range wake {
		p.queue.Add(k)
	}
	return world.again, nil
}

// apply writes one made object unless it is there as it should be, and reports whether it wrote.
func (p *player) apply(ctx context.Context, owner *unstructured.Unstructured, m made) (bool, error) {
	o := &unstructured.Unstructured{Object: m.Object}
	if m.Owned {
		yes := true
		o.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(),
			Controller: &yes, BlockOwnerDeletion: &yes,
		}})
	}
	digest, err := digestOf(o.Object)
	if err != nil {
		return false, err
	}
	manager, note, value := fieldManager, digestAnnotation, digest
	if m.Merged {
		// Several may add to one object, each under its own name: an apply takes back what the same manager applied before.
		manager, note, value = fieldManager+"-"+owner.GetName(), mergedAnnotation(owner.GetName()), digest+" simulated"
	}
	notes := o.GetAnnotations()
	if notes == nil {
		notes = map[string]string{}
	}
	notes[note] = value
	o.SetAnnotations(notes)
	api, err := p.resource(o.GetAPIVersion(), o.GetKind(), o.GetNamespace())
	if err != nil {
		return false, err
	}
	what := fmt.Sprintf("%s %s/%s for %s %s", o.GetKind(), o.GetNamespace(), o.GetName(), owner.GetKind(), owner.GetName())
	live, err := api.Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case err == nil && live.GetAnnotations()[note] == value:
		return false, nil
	case m.Merged && apierrors.IsNotFound(err):
		return false, nil // its owner makes it
	case err != nil && !apierrors.IsNotFound(err):
		return false, fmt.Errorf("read %s: %w", what, err)
	}
	if _, err := api.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: manager, Force: true}); err != nil {
		return false, fmt.Errorf("make %s: %w", what, err)
	}
	return true, nil
}

// mergedAnnotation is the key of the note that owner leaves on an object it adds fields to.
func mergedAnnotation(owner string) string {
	const longest = 63
	if len(owner) > longest {
		owner = strings.TrimRight(owner[:longest], "-.")
	}
	return "merged.idp.dev/" + owner
}

func digestOf(object map[string]any) (string, error) {
	raw, err := json.Marshal(object) // keys come out sorted
	if err != nil {
		return "", fmt.Errorf("digest an object: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8]), nil
}

// writeStatus lays the wanted status over the live one, writing only keys that differ, and reports whether it wrote.
func (p *player) writeStatus(ctx context.Context, s *scene, object *unstructured.Unstructured, wanted map[string]any) (bool, error) {
	live, _ := object.Object["status"].(map[string]any)
	p.mu.Lock()
	fates := p.settled[object.GetUID()]
	p.mu.Unlock()
	patch := statusPatch(wanted, live, fates)
	if len(patch) == 0 {
		return false, nil
	}
	body, err := json.Marshal(map[string]any{"status": patch})
	if err != nil {
		return false, fmt.Errorf("encode a status: %w", err)
	}
	var sub []string
	if s.status {
		sub = []string{"status"}
	}
	result, err := p.dyn.Resource(s.gvr).Namespace(object.GetNamespace()).Patch(ctx, object.GetName(), types.MergePatchType, body, metav1.PatchOptions{FieldManager: fieldManager}, sub...)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("set the status of %s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
	}
	kept, _ := result.Object["status"].(map[string]any)
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, v := range patch {
		if !reflect.DeepEqual(kept[k], v) {
			if p.settled[object.GetUID()] == nil {
				p.settled[object.GetUID()] = map[string]fate{}
			}
			p.settled[object.GetUID()][k] = fate{timeless(v), kept[k]}
		}
	}
	return true, nil
}

// statusPatch returns the keys of wanted that have to be written over live.
func statusPatch(wanted, live map[string]any, fates map[string]fate) map[string]any {
	patch := map[string]any{}
	for k, v := range wanted {
		if reflect.DeepEqual(live[k], v) {
			continue
		}
		if f, ok := fates[k]; ok && reflect.DeepEqual(f, fate{timeless(v), live[k]}) {
			continue
		}
		patch[k] = v
	}
	return patch
}

// timeless drops the transition times from a copy of a status value: where the API server drops them, every rendering has another.
func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k != "lastTransitionTime" {
				out[k] = timeless(x)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = timeless(x)
		}
		return out
	default:
		return v
	}
}

// resource returns the client of a kind.
func (p *player) resource(apiVersion, kind, namespace string) (dynamic.ResourceInterface, error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, fmt.Errorf("kind %s: %w", kind, err)
	}
	m, err := p.mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: kind}, gv.Version)
	if err != nil {
		if meta.IsNoMatchError(err) {
			p.mapper.Reset() // the kind may be younger than the list
		}
		return nil, fmt.Errorf("kind %s of %s: %w", kind, apiVersion, err)
	}
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		return p.dyn.Resource(m.Resource).Namespace(namespace), nil
	}
	return p.dyn.Resource(m.Resource), nil
}

// world is the env of one rendering against the cluster.
type world struct {
	ctx    context.Context // of this one rendering; templates can't pass it
	player *player
	again  bool
}

func (w *world) Lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	if name == "" {
		return nil, nil
	}
	api, err := w.player.resource(apiVersion, kind, namespace)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := api.Get(w.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s %s/%s: %w", kind, namespace, name, err)
	}
	return o.Object, nil
}

func (w *world) Namespaces(wanted map[string]any) ([]string, error) {
	selector := labels.Set{}
	for key, value := range wanted {
		selector[key], _ = value.(string)
	}
	api, err := w.player.resource("v1", "Namespace", "")
	if err != nil {
		return nil, err
	}
	list, err := api.List(w.ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, fmt.Errorf("list the namespaces: %w", err)
	}
	var names []string
	for _, n := range list.Items {
		if n.GetDeletionTimestamp() == nil {
			names = append(names, n.GetName())
		}
	}
	return names, nil
}

func (w *world) secret(namespace, name string) (map[string][]byte, error) {
	o, err := w.Lookup("v1", "Secret", namespace, name)
	if err != nil {
		return nil, err
	}
	return decodeData(o), nil
}

func (w *world) Certificate(cert, by map[string]any) (map[string]any, error) {
	var spec certificateSpec
	if err := into(cert["spec"], &spec); err != nil {
		return nil, err
	}
	signer, err := issuerOf(by, w.secret, w.player.ca)
	if err != nil {
		return nil, err
	}
	namespace, _ := cert["metadata"].(map[string]any)["namespace"].(string)
	existing, err := w.secret(namespace, spec.SecretName)
	if err != nil {
		return nil, err
	}
	got, err := spec.issue(signer, existing, time.Now())
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"data":        encodeData(got.data),
		"notBefore":   got.cert.NotBefore.UTC().Format(time.RFC3339),
		"notAfter":    got.cert.NotAfter.UTC().Format(time.RFC3339),
		"renewalTime": got.renewal.UTC().Format(time.RFC3339),
	}, nil
}

func (w *world) Sign(request, by map[string]any) (map[string]any, error) {
	if status, _ := request["status"].(map[string]any); status["certificate"] != nil {
		return map[string]any{"certificate": status["certificate"], "ca": status["ca"]}, nil
	}
	signer, err := issuerOf(by, w.secret, w.player.ca)
	if err != nil {
		return nil, err
	}
	spec, _ := request["spec"].(map[string]any)
	cert, ca, err := signRequest(signer, spec, time.Now())
	if err != nil {
		return nil, err
	}
	return encodeData(map[string][]byte{"certificate": cert, "ca": ca}), nil
}

func (w *world) SecretData(external map[string]any) (map[string]any, error) {
	var spec externalSpec
	if err := into(external["spec"], &spec); err != nil {
		return nil, err
	}
	m, _ := external["metadata"].(map[string]any)
	namespace, _ := m["namespace"].(string)
	name, _ := m["name"].(string)
	if spec.Target.Name != "" {
		name = spec.Target.Name
	}
	existing, err := w.secret(namespace, name)
	if err != nil {
		return nil, err
	}
	data, err := spec.placeholders(existing)
	if err != nil {
		return nil, err
	}
	return encodeData(data), nil
}

func (w *world) Again() { w.again = true }

func (w *world) Now() string { return time.Now().UTC().Format(time.RFC3339) }
