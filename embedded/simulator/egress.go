package simulator

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// dialer reaches the real process that stands behind a Service's host name, where one runs on this machine.
type dialer func(ctx context.Context) (net.Conn, error)

// egress is the far end of the API server's egress selector: it accepts CONNECT for any address of the cluster network and
// becomes the server there. TLS is ended with a certificate for the name that was asked for; where a real process is known for
// that name the bytes are passed on untouched.
type egress struct {
	ca      *authority
	handler http.Handler // answers what arrives through a tunnel
	log     *slog.Logger

	mu     sync.Mutex
	routes map[string]dialer           // host → real process
	leaves map[string]*tls.Certificate // host → certificate to serve instead of the simulation's own
}

func newEgress(ca *authority, handler http.Handler, log *slog.Logger) *egress {
	return &egress{ca: ca, handler: handler, log: log, routes: map[string]dialer{}, leaves: map[string]*tls.Certificate{}}
}

// Route sends connections for host (svc.namespace.svc) to a real process.
func (e *egress) Route(host string, d dialer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.routes[host] = d
}

// Routed reports whether a real process answers for host.
func (e *egress) Routed(host string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.routes[host]
	return ok
}

// Serve uses cert for host from now on; nil goes back to the simulation's own.
func (e *egress) ServeWith(host string, cert *tls.Certificate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cert == nil {
		delete(e.leaves, host)
		return
	}
	e.leaves[host] = cert
}

// Serve accepts CONNECT requests on l until ctx ends.
func (e *egress) Serve(ctx context.Context, l net.Listener) error {
	tunnels := newTunnelListener(l.Addr())
	inner := &http.Server{
		Handler:           e.handler,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := underlying(c).(*tunnel); ok {
				return context.WithValue(ctx, targetKey{}, t.target)
			}
			return ctx
		},
	}
	outer := &http.Server{
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect {
				http.Error(w, "simulator: this socket takes CONNECT requests of an API server's egress selector only", http.StatusMethodNotAllowed)
				return
			}
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				http.Error(w, "simulator: "+err.Error(), http.StatusInternalServerError)
				return
			}
			if err := e.open(ctx, conn, buffered.Reader, r.Host, tunnels); err != nil {
				e.log.Debug("tunnel ended", "target", r.Host, "error", err)
				_ = conn.Close()
			}
		}),
	}
	stop := context.AfterFunc(ctx, func() {
		_ = outer.Close()
		_ = inner.Close()
		_ = tunnels.Close()
	})
	defer stop()
	go func() { _ = inner.Serve(tunnels) }()
	if err := outer.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the egress socket: %w", err)
	}
	return nil
}

// open turns a hijacked connection into one end of a tunnel to target and hands it to whoever answers there.
func (e *egress) open(ctx context.Context, conn net.Conn, buffered *bufio.Reader, target string, tunnels *tunnelListener) error {
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return err
	}
	t := &tunnel{Conn: conn, reader: buffered, target: target}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	first, err := buffered.Peek(1)
	if err != nil {
		return err
	}
	const handshake = 0x16 // a TLS record's type
	if first[0] != handshake {
		_ = conn.SetReadDeadline(time.Time{})
		return tunnels.push(t)
	}
	name, err := t.serverName()
	if err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Time{})
	host, _, _ := net.SplitHostPort(target)
	if name == "" {
		name = host // an address has no server name in TLS
	}
	e.mu.Lock()
	route, cert := e.routes[name], e.leaves[name]
	e.mu.Unlock()
	if route != nil {
		return splice(ctx, t, route)
	}
	if cert == nil {
		if cert, err = e.ca.Leaf(name); err != nil {
			return err
		}
	}
	// HTTP/1.1 alone: the API server keeps few connections to a webhook, and HTTP/2 on hijacked connections buys nothing here.
	return tunnels.push(tls.Server(t, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}))
}

// splice copies both ways until both sides are done.
func splice(ctx context.Context, near net.Conn, route dialer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	far, err := route(ctx)
	cancel()
	if err != nil {
		return fmt.Errorf("reach the real process: %w", err)
	}
	done := make(chan struct{}, 2)
	forward := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.Close()
		done <- struct{}{}
	}
	go forward(far, near)
	go forward(near, far)
	<-done
	<-done
	return nil
}

// targetKey is the context key of the address that a tunnel was opened for.
type targetKey struct{}

// tunnel is a hijacked connection whose first bytes may have been read ahead.
type tunnel struct {
	net.Conn
	reader io.Reader
	target string
}

func (t *tunnel) Read(p []byte) (int, error) { return t.reader.Read(p) }

func underlying(c net.Conn) net.Conn {
	if s, ok := c.(*tls.Conn); ok {
		return s.NetConn()
	}
	return c
}

// errPeeked ends the handshake that is started only to read the client's hello.
var errPeeked = errors.New("hello read")

// serverName reads the TLS client hello for the name it asks for, and puts its bytes back.
func (t *tunnel) serverName() (string, error) {
	var seen bytes.Buffer
	var name string
	peek := readOnly{Conn: t.Conn, Reader: io.TeeReader(t.reader, &seen)}
	err := tls.Server(peek, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, errPeeked
	}}).Handshake()
	if !errors.Is(err, errPeeked) {
		return "", fmt.Errorf("read the TLS hello for %s: %w", t.target, err)
	}
	t.reader = io.MultiReader(&seen, t.reader)
	return name, nil
}

// readOnly keeps the abandoned handshake's alert from reaching the peer.
type readOnly struct {
	net.Conn
	io.Reader
}

func (r readOnly) Read(p []byte) (int, error)  { return r.Reader.Read(p) }
func (r readOnly) Write(p []byte) (int, error) { return len(p), nil }

// tunnelListener hands tunnels to an http.Server.
type tunnelListener struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newTunnelListener(addr net.Addr) *tunnelListener {
	return &tunnelListener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *tunnelListener) push(c net.Conn) error {
	select {
	case l.conns <- c:
		return nil
	case <-l.done:
		return net.ErrClosed
	}
}

func (l *tunnelListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *tunnelListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *tunnelListener) Addr() net.Addr { return l.addr }
