package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/idp-blueprint/idp/internal/platform"
)

// setupPolicy is what the set-up may do: what this package does, on every path that it does it on.
const setupPolicy = `# As idp changes this store.
path "sys/audit" { capabilities = ["read", "sudo"] }
path "sys/audit/*" { capabilities = ["create", "update", "sudo"] }
path "sys/auth" { capabilities = ["read"] }
path "sys/auth/kubernetes" { capabilities = ["create", "update", "sudo"] }
path "sys/mounts" { capabilities = ["read"] }
path "sys/mounts/secret" { capabilities = ["create", "update"] }
path "sys/policies/acl/*" { capabilities = ["create", "read", "update", "delete"] }
path "auth/kubernetes/config" { capabilities = ["create", "read", "update"] }
path "auth/kubernetes/role" { capabilities = ["list"] }
path "auth/kubernetes/role/*" { capabilities = ["create", "read", "update", "delete"] }
path "auth/token/accessors" { capabilities = ["list", "sudo"] }
path "auth/token/accessors/" { capabilities = ["list", "sudo"] }
path "auth/token/lookup-accessor" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
path "secret/data/*" { capabilities = ["create", "read", "update"] }
`

const (
	setupTTL     = 600  // seconds
	namespaceTTL = 1200 // seconds
	auditName    = "file"
)

// namespacePolicy lets a namespace read its own paths, and nothing else.
func namespacePolicy(namespace string) string {
	return fmt.Sprintf("path \"%s/data/%s/*\" { capabilities = [\"read\"] }\npath \"%s/metadata/%s/*\" { capabilities = [\"read\"] }\n",
		kvMount, namespace, kvMount, namespace)
}

// policyOf names the policy of a namespace; no other policy has an underscore and this beginning.
func policyOf(namespace string) string { return "namespace_" + namespace }

// did records a change.
func (x *session) did(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	x.changed = append(x.changed, text)
	x.Say(text)
}

// setUpLogin makes what the set-up needs to log in; first the audit device, so that the log has everything from here on.
func (x *session) setUpLogin(ctx context.Context) error {
	if err := x.audit(ctx); err != nil {
		return err
	}
	if err := x.enableAuth(ctx); err != nil {
		return err
	}
	if err := x.policy(ctx, setupName, setupPolicy); err != nil {
		return err
	}
	server := x.Declared.Server
	return x.role(ctx, setupName, platform.SecretRole{Namespace: server.Namespace, ServiceAccount: server.ServiceAccount, Audience: Audience}, setupName, setupTTL)
}

// setUp brings everything but the values to the declaration.
func (x *session) setUp(ctx context.Context) error {
	if err := x.setUpLogin(ctx); err != nil {
		return err
	}
	if err := x.mount(ctx); err != nil {
		return err
	}
	for _, r := range x.Declared.Roles {
		if err := x.policy(ctx, policyOf(r.Namespace), namespacePolicy(r.Namespace)); err != nil {
			return err
		}
		if err := x.role(ctx, r.Namespace, r, policyOf(r.Namespace), namespaceTTL); err != nil {
			return err
		}
	}
	return x.removeRoles(ctx)
}

func (x *session) audit(ctx context.Context) error {
	if x.Declared.Audit == "" {
		return nil
	}
	devices, err := x.client.Sys().ListAuditWithContext(ctx)
	if err != nil {
		return refused("listing the audit devices", err)
	}
	for _, d := range devices {
		if d.Type == "file" && d.Options["file_path"] == x.Declared.Audit {
			return nil
		}
	}
	if _, taken := devices[auditName+"/"]; taken {
		return fmt.Errorf("the audit device %q writes elsewhere than to %s; disable it, or declare its file", auditName, x.Declared.Audit)
	}
	err = x.client.Sys().EnableAuditWithOptionsWithContext(ctx, auditName, &api.EnableAuditOptions{
		Type: "file", Options: map[string]string{"file_path": x.Declared.Audit},
	})
	if err != nil {
		return refused("enabling the audit device", err)
	}
	x.did("audit device %s", x.Declared.Audit)
	return nil
}

func (x *session) enableAuth(ctx context.Context) error {
	methods, err := x.client.Sys().ListAuthWithContext(ctx)
	if err != nil {
		return refused("listing the ways to log in", err)
	}
	if _, there := methods[authMount+"/"]; !there {
		if err := x.client.Sys().EnableAuthWithOptionsWithContext(ctx, authMount, &api.EnableAuthOptions{Type: "kubernetes"}); err != nil {
			return refused("enabling the login by ServiceAccount", err)
		}
		x.did("login by ServiceAccount")
	}
	config := map[string]any{"kubernetes_host": x.Declared.Server.Kubernetes}
	return x.settle(ctx, "auth/"+authMount+"/config", config, x.KubernetesAuth)
}

// settle writes settings unless those of wanted are as they should be; extra ones can't be read back and are written with them.
func (x *session) settle(ctx context.Context, path string, wanted, extra map[string]any) error {
	now, err := x.client.Logical().ReadWithContext(ctx, path)
	if err != nil {
		return refused("reading "+path, err)
	}
	if now != nil && sameSettings(wanted, now.Data) {
		return nil
	}
	all := map[string]any{}
	for k, v := range wanted {
		all[k] = v
	}
	for k, v := range extra {
		all[k] = v
	}
	if _, err := x.client.Logical().WriteWithContext(ctx, path, all); err != nil {
		return refused("writing "+path, err)
	}
	x.did("%s", path)
	return nil
}

func sameSettings(wanted, now map[string]any) bool {
	for k, v := range wanted {
		a, errA := json.Marshal(v)
		b, errB := json.Marshal(now[k])
		if errA != nil || errB != nil || string(a) != string(b) {
			return false
		}
	}
	return true
}

func (x *session) mount(ctx context.Context) error {
	mounts, err := x.client.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return refused("listing the mounts", err)
	}
	if m, there := mounts[kvMount+"/"]; there {
		if m.Type != "kv" || m.Options["version"] != "2" {
			return fmt.Errorf("the mount %s/ is of type %s, version %q, not kv, version \"2\"", kvMount, m.Type, m.Options["version"])
		}
		return nil
	}
	err = x.client.Sys().MountWithContext(ctx, kvMount, &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}})
	if err != nil {
		return refused("mounting "+kvMount+"/", err)
	}
	x.did("mount %s/", kvMount)
	return nil
}

func (x *session) policy(ctx context.Context, name, text string) error {
	path := "sys/policies/acl/" + name
	now, err := x.client.Logical().ReadWithContext(ctx, path)
	if err != nil {
		return refused("reading "+path, err)
	}
	if now != nil && now.Data["policy"] == text {
		return nil
	}
	if _, err := x.client.Logical().WriteWithContext(ctx, path, map[string]any{"policy": text}); err != nil {
		return refused("writing "+path, err)
	}
	x.did("policy %s", name)
	return nil
}

func (x *session) role(ctx context.Context, name string, r platform.SecretRole, policy string, ttl int) error {
	return x.settle(ctx, "auth/"+authMount+"/role/"+name, map[string]any{
		"bound_service_account_names":      []string{r.ServiceAccount},
		"bound_service_account_namespaces": []string{r.Namespace},
		"audience":                         r.Audience,
		"token_policies":                   []string{policy},
		"token_ttl":                        ttl,
		"token_max_ttl":                    ttl,
	}, nil)
}

// removeRoles ends the right to read of namespaces that are no longer declared. Their values stay.
func (x *session) removeRoles(ctx context.Context) error {
	list, err := x.client.Logical().ListWithContext(ctx, "auth/"+authMount+"/role")
	if err != nil {
		return refused("listing the roles", err)
	}
	if list == nil {
		return nil
	}
	names, _ := list.Data["keys"].([]any)
	for _, n := range names {
		name, _ := n.(string)
		if name == setupName || slices.ContainsFunc(x.Declared.Roles, func(r platform.SecretRole) bool { return r.Namespace == name }) {
			continue
		}
		path := "auth/" + authMount + "/role/" + name
		role, err := x.client.Logical().ReadWithContext(ctx, path)
		if err != nil {
			return refused("reading "+path, err)
		}
		if role == nil || !sameSettings(map[string]any{"token_policies": []string{policyOf(name)}}, role.Data) {
			continue // somebody else's
		}
		for _, gone := range []string{path, "sys/policies/acl/" + policyOf(name)} {
			if _, err := x.client.Logical().DeleteWithContext(ctx, gone); err != nil {
				return refused("removing "+gone, err)
			}
		}
		x.did("role %s removed", name)
	}
	return nil
}

// read is a path's values and version; a path that isn't there has neither, one that was deleted has a version only.
func (x *session) read(ctx context.Context, path string) (map[string]any, int, error) {
	for {
		answer, err := x.client.Logical().ReadWithContext(ctx, kvMount+"/data/"+path)
		if answers(err, http.StatusBadRequest, "Upgrading") { // a new mount, for a moment
			if err := x.pause(ctx); err != nil {
				return nil, 0, err
			}
			continue
		}
		if err != nil {
			return nil, 0, refused("reading "+path, err)
		}
		if answer == nil {
			return map[string]any{}, 0, nil
		}
		values, _ := answer.Data["data"].(map[string]any)
		if values == nil {
			values = map[string]any{}
		}
		metadata, _ := answer.Data["metadata"].(map[string]any)
		number, _ := metadata["version"].(json.Number)
		version, err := number.Int64()
		if err != nil {
			return nil, 0, fmt.Errorf("reading %s: the secret store gives no version", path)
		}
		return values, int(version), nil
	}
}

// errMoved says that somebody else has written meanwhile.
var errMoved = errors.New("changed by somebody else meanwhile")

// write puts values in place of a version.
func (x *session) write(ctx context.Context, path string, values map[string]any, version int) error {
	if err := fits(path, values); err != nil {
		return err
	}
	_, err := x.client.Logical().WriteWithContext(ctx, kvMount+"/data/"+path, map[string]any{
		"data": values, "options": map[string]any{"cas": version},
	})
	if answers(err, http.StatusBadRequest, "check-and-set") {
		return errMoved
	}
	if err != nil {
		return refused("writing "+path, err)
	}
	return nil
}

func listed(names []string) string { return strings.Join(names, ", ") }
