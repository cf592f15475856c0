package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// serveControl answers idp on the control socket. Who may open the socket may do everything: it lies in a folder of the user.
//
//	GET  /status               Status; with ?usage=1 the processes' memory too
//	POST /snapshot             take a snapshot, see snapshotRequest; answers when the data is taken
//	POST /restart  {"name"}    end one process; it is started again and reads its files anew
//	POST /stop                 stop everything
func (s *supervisor) serveControl() (stop func(), err error) {
	socket := s.layout.Control()
	if err := os.RemoveAll(socket); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.status(r.URL.Query().Has("usage")), nil)
	})
	mux.HandleFunc("POST /snapshot", func(w http.ResponseWriter, r *http.Request) {
		var request snapshotRequest
		err := json.NewDecoder(r.Body).Decode(&request)
		if err == nil {
			err = s.snapshot(r.Context(), request)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Name string }
		err := json.NewDecoder(r.Body).Decode(&request)
		if err == nil {
			err = s.restart(request.Name)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		s.stop()
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("control socket", "error", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}

func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		value = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(value) // the client is gone, then
}

// restart ends the process called name; the runner starts it again.
func (s *supervisor) restart(name string) error {
	for _, c := range s.all() {
		if c.name == name {
			c.kill()
			return nil
		}
	}
	return fmt.Errorf("no process is called %q", name)
}
