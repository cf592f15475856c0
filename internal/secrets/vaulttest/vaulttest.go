// Package vaulttest is a stand-in for a Vault or OpenBao server: the same answers to exactly the requests that internal/secrets
// sends. It is simulated: it encrypts nothing. The contract test of internal/secrets runs against it and against a real server.
package vaulttest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Reviewer says whose a ServiceAccount's token is, as the API server would; ok is false for a token that isn't good.
type Reviewer func(jwt, audience string) (namespace, serviceAccount string, ok bool)

// Server is one server that keeps everything in memory.
type Server struct {
	Review Reviewer

	mu sync.Mutex
	vault
}

type vault struct {
	id       string
	key      string
	sealed   bool
	tokens   map[string]*token
	audits   map[string]map[string]any
	auths    map[string]map[string]any
	mounts   map[string]map[string]any
	policies map[string]string
	config   map[string]any
	roles    map[string]map[string]any
	secrets  map[string]*secret
}

type token struct {
	accessor string
	policies []string
	ends     time.Time
}

type secret struct{ versions []map[string]any }

// Seal is a restart: what was kept stays, and the key is needed.
func (s *Server) Seal() { s.locked(func() { s.sealed = s.key != "" }) }

// Wipe is a new disk.
func (s *Server) Wipe() { s.locked(func() { s.vault = vault{} }) }

func (s *Server) locked(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, method := strings.TrimPrefix(r.URL.Path, "/v1/"), r.Method
	if method == http.MethodGet && r.URL.Query().Get("list") == "true" {
		method, path = "LIST", strings.TrimSuffix(path, "/")
	}
	if method == http.MethodPut {
		method = http.MethodPost
	}
	body := map[string]any{}
	decoder := json.NewDecoder(r.Body)
	decoder.UseNumber()
	_ = decoder.Decode(&body)

	s.mu.Lock()
	a := s.answer(method, path, body, r)
	s.mu.Unlock()

	w.Header().Set("Content-Type", "application/json")
	if a.body == nil && a.code < http.StatusBadRequest {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(a.code)
	_ = json.NewEncoder(w).Encode(a.body)
}

type answer struct {
	code int
	body any
}

func done() answer { return answer{code: http.StatusNoContent} }
func wrong(code int, format string, args ...any) answer {
	return answer{code, map[string]any{"errors": []string{fmt.Sprintf(format, args...)}}}
}
func missing() answer    { return answer{http.StatusNotFound, map[string]any{"errors": []string{}}} }
func data(d any) answer  { return answer{http.StatusOK, map[string]any{"data": d}} }
func plain(d any) answer { return answer{http.StatusOK, d} }
func denied() answer     { return wrong(http.StatusForbidden, "permission denied") }
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
func list(m []string) []string { slices.Sort(m); return m }

func (s *Server) answer(method, path string, body map[string]any, r *http.Request) answer {
	switch path {
	case "sys/health":
		return s.health(r)
	case "sys/init":
		return s.init(body)
	case "sys/seal-status":
		return plain(map[string]any{"initialized": s.key != "", "sealed": s.key == "" || s.sealed, "t": 1, "n": 1})
	case "sys/unseal":
		return s.unseal(body)
	}
	if s.key == "" || s.sealed {
		return wrong(http.StatusServiceUnavailable, "Vault is sealed")
	}
	if path == "auth/kubernetes/login" {
		return s.login(body)
	}
	t := s.tokens[r.Header.Get("X-Vault-Token")]
	if t == nil || !t.ends.IsZero() && time.Now().After(t.ends) {
		return denied()
	}
	if path == "auth/token/revoke-self" {
		delete(s.tokens, r.Header.Get("X-Vault-Token"))
		return done()
	}
	if !s.may(t, method, path) {
		return denied()
	}
	return s.privileged(method, path, body)
}

func (s *Server) health(r *http.Request) answer {
	code, query := http.StatusOK, r.URL.Query()
	given := func(name string, fallback int) int {
		if n, err := strconv.Atoi(query.Get(name)); err == nil {
			return n
		}
		return fallback
	}
	switch {
	case s.key == "":
		code = given("uninitcode", http.StatusNotImplemented)
	case s.sealed:
		code = given("sealedcode", http.StatusServiceUnavailable)
	}
	h := map[string]any{"initialized": s.key != "", "sealed": s.key == "" || s.sealed, "standby": s.key == "" || s.sealed, "version": "simulated"}
	if s.key != "" && !s.sealed {
		h["cluster_id"] = s.id
	}
	return answer{code, h}
}

func (s *Server) init(body map[string]any) answer {
	if s.key != "" {
		return wrong(http.StatusBadRequest, "Vault is already initialized")
	}
	if fmt.Sprint(body["secret_shares"]) != "1" || fmt.Sprint(body["secret_threshold"]) != "1" {
		return wrong(http.StatusBadRequest, "the stand-in makes one key")
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	key := hex.EncodeToString(raw)
	root := "hvs." + randomText(12)
	s.vault = vault{
		id: randomText(16), key: key, sealed: true,
		tokens:   map[string]*token{root: {accessor: randomText(12), policies: []string{"root"}}},
		audits:   map[string]map[string]any{},
		auths:    map[string]map[string]any{"token/": {"type": "token"}},
		mounts:   map[string]map[string]any{"sys/": {"type": "system"}},
		policies: map[string]string{"root": "", "default": ""},
		roles:    map[string]map[string]any{}, secrets: map[string]*secret{},
	}
	return plain(map[string]any{"keys": []string{key}, "keys_base64": []string{base64.StdEncoding.EncodeToString(raw)}, "root_token": root})
}

func (s *Server) unseal(body map[string]any) answer {
	if s.key == "" {
		return wrong(http.StatusBadRequest, "Vault is not initialized")
	}
	given, _ := body["key"].(string)
	if raw, err := base64.StdEncoding.DecodeString(given); err == nil && hex.EncodeToString(raw) == s.key {
		given = s.key
	}
	if given != s.key {
		return wrong(http.StatusBadRequest, "failed to decrypt keys from storage: cipher: message authentication failed")
	}
	s.sealed = false
	return plain(map[string]any{"sealed": false, "t": 1, "n": 1, "progress": 0, "cluster_id": s.id})
}

func (s *Server) login(body map[string]any) answer {
	if s.config == nil {
		return denied()
	}
	name, _ := body["role"].(string)
	role := s.roles[name]
	if role == nil {
		return wrong(http.StatusBadRequest, "invalid role name %q", name)
	}
	jwt, _ := body["jwt"].(string)
	audience, _ := role["audience"].(string)
	namespace, account, ok := s.Review(jwt, audience)
	if !ok || !contains(role["bound_service_account_namespaces"], namespace) || !contains(role["bound_service_account_names"], account) {
		return denied()
	}
	var policies []string
	for _, p := range role["token_policies"].([]any) {
		policies = append(policies, fmt.Sprint(p))
	}
	id, t := "hvs."+randomText(12), &token{accessor: randomText(12), policies: policies}
	if n, ok := role["token_ttl"].(json.Number); ok {
		seconds, _ := n.Int64()
		t.ends = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	s.tokens[id] = t
	return plain(map[string]any{"auth": map[string]any{"client_token": id, "accessor": t.accessor, "policies": policies}})
}

func contains(list any, want string) bool {
	items, _ := list.([]any)
	return slices.ContainsFunc(items, func(item any) bool { return item == want })
}

var rule = regexp.MustCompile(`path "([^"]*)" \{ capabilities = \[([^\]]*)\] \}`)

// needsSudo are the paths that want a right of their own.
var needsSudo = regexp.MustCompile(`^(sys/audit|sys/audit/.*|sys/auth/.*|auth/token/accessors)$`)

// may is the policies' answer: the longest pattern that fits decides.
func (s *Server) may(t *token, method, path string) bool {
	if slices.Contains(t.policies, "root") {
		return true
	}
	wants := map[string][]string{http.MethodGet: {"read"}, "LIST": {"list"}, http.MethodPost: {"update"}, http.MethodDelete: {"delete"}}[method]
	if needsSudo.MatchString(path) {
		wants = append(slices.Clone(wants), "sudo")
	}
	best, rights := -1, ""
	for _, p := range t.policies {
		for _, m := range rule.FindAllStringSubmatch(s.policies[p], -1) {
			pattern, glob := strings.CutSuffix(m[1], "*")
			fits := glob && strings.HasPrefix(path, pattern) || !glob && path == strings.TrimSuffix(pattern, "/")
			if fits && len(m[1]) > best {
				best, rights = len(m[1]), m[2]
			}
		}
	}
	// What a server takes for create or for update depends on the path; the paths that idp may create on it may update too.
	for _, w := range wants {
		if !strings.Contains(rights, strconv.Quote(w)) {
			return false
		}
	}
	return best >= 0
}

func (s *Server) privileged(method, path string, body map[string]any) answer {
	switch {
	case path == "sys/audit":
		return data(s.audits)
	case path == "sys/auth":
		return data(s.auths)
	case path == "sys/mounts":
		return data(s.mounts)
	case path == "auth/kubernetes/config" || strings.HasPrefix(path, "auth/kubernetes/role"):
		return s.kubernetes(method, path, body)
	case strings.HasPrefix(path, "auth/token/"):
		return s.token(path, body)
	case strings.HasPrefix(path, "sys/policies/acl/"):
		return s.policy(method, strings.TrimPrefix(path, "sys/policies/acl/"), body)
	case strings.HasPrefix(path, "secret/data/"):
		return s.kv(method, strings.TrimPrefix(path, "secret/data/"), body)
	}
	for prefix, kept := range map[string]map[string]map[string]any{"sys/audit/": s.audits, "sys/auth/": s.auths, "sys/mounts/": s.mounts} {
		if name, ok := strings.CutPrefix(path, prefix); ok && method == http.MethodPost {
			if _, taken := kept[name+"/"]; taken {
				return wrong(http.StatusBadRequest, "path is already in use at %s/", name)
			}
			body["config"] = map[string]any{"default_lease_ttl": 0, "max_lease_ttl": 0}
			kept[name+"/"] = body
			return done()
		}
	}
	return wrong(http.StatusNotFound, "no handler for route %q. route entry not found.", path)
}

func (s *Server) kubernetes(method, path string, body map[string]any) answer {
	if s.auths["kubernetes/"] == nil {
		return wrong(http.StatusNotFound, "no handler for route %q. route entry not found.", path)
	}
	name, isRole := strings.CutPrefix(path, "auth/kubernetes/role/")
	switch {
	case method == "LIST":
		if len(s.roles) == 0 {
			return missing()
		}
		return data(map[string]any{"keys": list(slices.Collect(maps.Keys(s.roles)))})
	case isRole && method == http.MethodDelete:
		delete(s.roles, name)
		return done()
	case isRole && method == http.MethodPost:
		s.roles[name] = body
		return done()
	case isRole && s.roles[name] == nil, !isRole && method == http.MethodGet && s.config == nil:
		return missing()
	case isRole:
		return data(s.roles[name])
	case method == http.MethodPost:
		s.config = body
		return done()
	}
	return data(s.config)
}

func (s *Server) token(path string, body map[string]any) answer {
	if path == "auth/token/accessors" {
		var all []string
		for _, t := range s.tokens {
			all = append(all, t.accessor)
		}
		return data(map[string]any{"keys": list(all)})
	}
	for id, t := range s.tokens {
		if t.accessor != body["accessor"] {
			continue
		}
		if path == "auth/token/revoke-accessor" {
			delete(s.tokens, id)
			return done()
		}
		return data(map[string]any{"accessor": t.accessor, "policies": t.policies})
	}
	return wrong(http.StatusBadRequest, "invalid accessor")
}

func (s *Server) policy(method, name string, body map[string]any) answer {
	text, there := s.policies[name]
	switch {
	case method == http.MethodPost:
		s.policies[name], _ = body["policy"].(string)
		return done()
	case method == http.MethodDelete:
		delete(s.policies, name)
		return done()
	case !there:
		return missing()
	}
	return data(map[string]any{"name": name, "policy": text})
}

func (s *Server) kv(method, path string, body map[string]any) answer {
	if s.mounts["secret/"] == nil {
		return wrong(http.StatusNotFound, "no handler for route %q. route entry not found.", "secret/data/"+path)
	}
	kept := s.secrets[path]
	version := 0
	if kept != nil {
		version = len(kept.versions)
	}
	if method == http.MethodGet {
		if kept == nil {
			return missing()
		}
		return data(map[string]any{"data": kept.versions[version-1], "metadata": map[string]any{"version": version}})
	}
	options, _ := body["options"].(map[string]any)
	if cas, given := options["cas"]; given && fmt.Sprint(cas) != strconv.Itoa(version) {
		return wrong(http.StatusBadRequest, "check-and-set parameter did not match the current version")
	}
	values, ok := body["data"].(map[string]any)
	if !ok {
		return wrong(http.StatusBadRequest, "no data provided")
	}
	if kept == nil {
		kept = &secret{}
		s.secrets[path] = kept
	}
	kept.versions = append(kept.versions, values)
	return data(map[string]any{"version": version + 1})
}
