package secrets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
)

// found is a member as it answered.
type found struct {
	Member
	client *api.Client
	health *api.HealthResponse
}

type survey []found

// survey asks every member how it is.
func (s *Store) survey(ctx context.Context) (survey, error) {
	members, err := s.Site.Members(ctx)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, errors.New("the secret store has no server")
	}
	var all survey
	for _, m := range members {
		f := found{Member: m}
		if m.Err == nil {
			f.client, f.Err = newClient(m.URL, m.HTTP)
		}
		if f.Err == nil {
			f.health, f.Err = f.client.Sys().HealthWithContext(ctx)
		}
		if f.Err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		all = append(all, f)
	}
	return all, nil
}

// newClient is a client of one server that takes nothing from the environment.
func newClient(url string, transport *http.Client) (*api.Client, error) {
	if transport == nil {
		transport = &http.Client{}
	}
	own := *transport
	client, err := api.NewClient(&api.Config{Address: url, HttpClient: &own, MaxRetries: 0})
	if err != nil {
		return nil, err
	}
	// The library reads the token, namespace and headers of whatever server the user works with.
	client.ClearToken()
	client.ClearNamespace()
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	return client, nil
}

// active is the member that leads; nil where none does.
func (all survey) active() *found {
	for i, f := range all {
		if f.Err == nil && f.health.Initialized && !f.health.Sealed && !f.health.Standby {
			return &all[i]
		}
	}
	return nil
}

// initialised says whether a member belongs to a store. It is false without an error only if every member says so: one with a new
// disk would say it too, while the others hold everything.
func (all survey) initialised() (bool, error) {
	for _, f := range all {
		if f.Err == nil && f.health.Initialized {
			return true, nil
		}
	}
	return false, all.silent()
}

// silent says which members don't answer; nil where all do.
func (all survey) silent() error {
	var silent []error
	for _, f := range all {
		if f.Err != nil {
			silent = append(silent, fmt.Errorf("%s: %w", f.Name, f.Err))
		}
	}
	if len(silent) == 0 {
		return nil
	}
	return fmt.Errorf("not every server of the secret store answers: %w", errors.Join(silent...))
}

// servers are the members' servers, by name.
func (all survey) servers() map[string]Server {
	servers := map[string]Server{}
	for _, f := range all {
		servers[f.Name] = f.Server
	}
	return servers
}

// summary is how the members are, in one line.
func (all survey) summary() string {
	var parts []string
	for _, f := range all {
		state := "active"
		switch {
		case f.Err != nil:
			state = "not reached"
		case !f.health.Initialized:
			state = "not initialised"
		case f.health.Sealed:
			state = "sealed"
		case f.health.Standby:
			state = "standby"
		}
		parts = append(parts, f.Name+" "+state)
	}
	return strings.Join(parts, ", ")
}

// refused is what the server says, in one line; it never holds a value.
func refused(what string, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", what, err)
	}
	var texts []string
	if !answer.RawError {
		for _, text := range answer.Errors {
			texts = append(texts, strings.Join(strings.Fields(text), " "))
		}
	}
	hint := ""
	if answer.StatusCode == http.StatusForbidden {
		hint = "; its token has ended, or its role has no right to do that"
	}
	return &refusal{text: fmt.Sprintf("%s: the secret store answers %d %s%s", what, answer.StatusCode, strings.Join(texts, ", "), hint), cause: answer}
}

type refusal struct {
	text  string
	cause *api.ResponseError
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.cause }

// answers says whether an error is the server's answer with one of these codes, and of these words if any are given.
func answers(err error, code int, words ...string) bool {
	var answer *api.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != code {
		return false
	}
	text := strings.Join(answer.Errors, " ")
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return len(words) == 0
}
