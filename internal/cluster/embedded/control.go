package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// control is the supervisor's socket.
type control struct{ client *http.Client }

func (p *Provider) control() control {
	socket := p.spec.file("control.sock")
	return control{client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

// status is the part of the supervisor's answer that is used here.
type status struct {
	Schema    int
	Program   string
	Ready     bool
	Failed    string // why it can't become ready without help
	Doing     string
	Restored  bool
	Saving    int // snapshots that are being written
	Simulated []string
	Endpoints map[string]string
	Processes []struct {
		Name     string
		PID      int
		State    string
		Waiting  string // for what, while State is waiting
		Restarts int
		RSS, PSS int64 // bytes
	}
}

func (c control) status(ctx context.Context) (status, error) {
	var s status
	err := c.call(ctx, http.MethodGet, "/status", nil, &s)
	return s, err
}

// usage is status with the processes' memory, which takes longer.
func (c control) usage(ctx context.Context) (status, error) {
	var s status
	err := c.call(ctx, http.MethodGet, "/status?usage=1", nil, &s)
	return s, err
}

func (c control) restart(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/restart", map[string]string{"name": name}, nil)
}

func (c control) call(ctx context.Context, method, path string, request, response any) error {
	var body io.Reader
	if request != nil {
		data, err := json.Marshal(request)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, body)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		var failure struct{ Error string }
		_ = json.NewDecoder(answer.Body).Decode(&failure) // an empty reason, then
		return fmt.Errorf("supervisor: %s: %s: %s", path, answer.Status, failure.Error)
	}
	if response == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(response)
}
