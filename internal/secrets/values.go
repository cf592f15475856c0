package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/idp-blueprint/idp/internal/platform"
)

const (
	// MaxValue is the size above which a value is refused.
	MaxValue = 512 << 10
	// maxPath is what a path may hold, encoded: an entry of the store, its own part included, and a Kubernetes Secret end at 1 MiB.
	maxPath = 1<<20 - 4<<10
)

// attempts bounds how often a path is written anew because somebody else wrote it in between.
const attempts = 10

// seedAll makes every value that is declared and isn't there.
func (x *session) seedAll(ctx context.Context) error {
	for _, p := range x.Declared.Paths {
		if err := x.seed(ctx, p, nil); err != nil {
			return err
		}
	}
	return nil
}

// seed brings one path to its declaration; fresh values replace what is there, and what is made from them follows.
func (x *session) seed(ctx context.Context, p platform.SecretPath, fresh map[string]string) error {
	for range attempts {
		values, version, err := x.read(ctx, p.Path)
		if err != nil {
			return err
		}
		made, missing, err := x.fill(ctx, p, values, fresh)
		if err != nil {
			return err
		}
		if len(made) == 0 {
			x.missing = append(x.missing, missing...)
			return nil
		}
		err = x.write(ctx, p.Path, values, version)
		if errors.Is(err, errMoved) {
			continue
		}
		if err == nil {
			x.missing = append(x.missing, missing...)
			x.did("%s: %s", p.Path, listed(made))
		}
		return err
	}
	return fmt.Errorf("writing %s: %w, %d times", p.Path, errMoved, attempts)
}

// fill adds to values what is declared and isn't there, in an order in which a key comes after those it is made from.
func (x *session) fill(ctx context.Context, p platform.SecretPath, values map[string]any, fresh map[string]string) (made []string, missing []Missing, err error) {
	for _, k := range p.Keys {
		now, there := values[k.Name].(string)
		next, given := fresh[k.Name]
		if !given {
			next, err = x.make(ctx, k, values, made, now)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s, key %s: %w", p.Path, k.Name, err)
		}
		switch {
		case next == "" && !there && k.User != nil:
			missing = append(missing, Missing{Path: p.Path, Key: k.Name, Description: k.User.Description})
		case next != "" && (next != now || !there):
			values[k.Name] = next
			made = append(made, k.Name)
		}
	}
	return made, missing, nil
}

// make is a key's value: the one it has, unless it has none or follows another; "" where it can't be made yet.
func (x *session) make(ctx context.Context, k platform.SecretKey, values map[string]any, made []string, now string) (string, error) {
	switch {
	case k.Text != "":
		return k.Text, nil
	case k.Copy != nil:
		from, _, err := x.read(ctx, k.Copy.Path)
		value, _ := from[k.Copy.Key].(string)
		if err != nil || value == "" {
			return now, err
		}
		return value, nil
	case k.Bcrypt != "":
		return x.hash(k, values, made, now)
	case k.Timestamp != "":
		if base, _ := values[k.Timestamp].(string); base == "" || now != "" && !slices.Contains(made, k.Timestamp) {
			return now, nil
		}
		return x.Now().UTC().Format(time.RFC3339), nil
	case now != "":
		return now, nil
	case k.Generate != nil:
		return random(x.Random, *k.Generate)
	case k.User != nil:
		return k.User.Default, nil
	}
	return "", nil
}

func (x *session) hash(k platform.SecretKey, values map[string]any, made []string, now string) (string, error) {
	base, _ := values[k.Bcrypt].(string)
	if base == "" || now != "" && !slices.Contains(made, k.Bcrypt) && bcrypt.CompareHashAndPassword([]byte(now), []byte(base)) == nil {
		return now, nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(base), x.Cost)
	return string(hash), err
}

// random is a string over an alphabet, each character equally likely.
func random(from io.Reader, g platform.Generate) (string, error) {
	alphabet := []rune(g.Alphabet)
	size := big.NewInt(int64(len(alphabet)))
	text := make([]rune, g.Length)
	for i := range text {
		n, err := rand.Int(from, size)
		if err != nil {
			return "", err
		}
		text[i] = alphabet[n.Int64()]
	}
	return string(text), nil
}

// Rotate makes the generated values of a path anew, or just that of key, and lets follow what is made from them.
func (s *Store) Rotate(ctx context.Context, path, key string) (Result, error) {
	p, err := s.find(path)
	if err != nil {
		return Result{}, err
	}
	fresh := map[string]string{}
	for _, k := range p.Keys {
		if k.Generate != nil && (key == "" || key == k.Name) {
			if fresh[k.Name], err = random(s.Random, *k.Generate); err != nil {
				return Result{}, err
			}
		}
	}
	if key != "" && len(fresh) == 0 {
		return Result{}, s.notGenerated(p, key)
	}
	if len(fresh) == 0 {
		return Result{}, &InputError{fmt.Sprintf("no key of %s is generated: there is nothing to rotate", path)}
	}
	return s.change(ctx, p, fresh)
}

// Set gives a key the value that is read from r, without the newline at its end.
func (s *Store) Set(ctx context.Context, path, key string, r io.Reader) (Result, error) {
	if err := s.Settable(path, key); err != nil {
		return Result{}, err
	}
	value, err := readValue(r)
	if err != nil {
		return Result{}, err
	}
	if err := fits(path, map[string]any{key: value}); err != nil {
		return Result{}, err
	}
	p, _ := s.Declared.Path(path)
	for _, k := range p.Keys {
		if k.Bcrypt == key && len(value) > 72 {
			return Result{}, &InputError{fmt.Sprintf("the value has %d bytes, and %s is its bcrypt hash, which takes 72", len(value), k.Name)}
		}
	}
	return s.change(ctx, p, map[string]string{key: value})
}

// Settable says why a key can't be set, before its value is asked for.
func (s *Store) Settable(path, key string) error {
	p, err := s.find(path)
	if err != nil {
		return err
	}
	k, found := p.Key(key)
	switch {
	case !found:
		return s.noKey(p, key)
	case k.Bcrypt != "":
		return &InputError{fmt.Sprintf("%s of %s is made from %s; set that", key, path, k.Bcrypt)}
	case k.Timestamp != "":
		return &InputError{fmt.Sprintf("%s of %s follows %s; set that", key, path, k.Timestamp)}
	case k.Copy != nil:
		return &InputError{fmt.Sprintf("%s of %s is a copy; set %s %s", key, path, k.Copy.Path, k.Copy.Key)}
	case k.Text != "":
		return &InputError{fmt.Sprintf("%s of %s is written in %s; change it there", key, path, s.Declared.File)}
	}
	return nil
}

func readValue(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxValue+3)) // a newline, and one more to see that there is more
	if err != nil {
		return "", fmt.Errorf("reading the value: %w", err)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	switch {
	case len(data) == 0:
		return "", &InputError{"the value is empty"}
	case len(data) > MaxValue:
		return "", &InputError{fmt.Sprintf("the value is larger than %d KiB", MaxValue>>10)}
	case bytes.IndexByte(data, 0) >= 0:
		return "", &InputError{"the value has a NUL byte"}
	case !utf8.Valid(data):
		return "", &InputError{"the value is no UTF-8 text; encode it, as base64 for instance"}
	}
	return string(data), nil
}

// fits says whether a path can hold values; some characters take six bytes.
func fits(path string, values map[string]any) error {
	encoded, err := json.Marshal(values)
	if err != nil {
		return err
	}
	if len(encoded) > maxPath {
		return &InputError{fmt.Sprintf("%s would hold %d KiB, and a path can hold %d: give it a smaller value", path, len(encoded)>>10, maxPath>>10)}
	}
	return nil
}

// change writes fresh values, then lets the copies of other paths follow.
func (s *Store) change(ctx context.Context, p platform.SecretPath, fresh map[string]string) (Result, error) {
	var result Result
	err := s.inSession(ctx, sessionOptions{writes: true}, func(ctx context.Context, x *session) error {
		err := x.seed(ctx, p, fresh)
		for _, other := range s.Declared.Paths {
			if err == nil && other.Path != p.Path && slices.ContainsFunc(other.Keys, func(k platform.SecretKey) bool { return k.Copy != nil }) {
				err = x.seed(ctx, other, nil)
			}
		}
		result.Changed = x.changed
		return err
	})
	return result, err
}

// Get reads paths.
func (s *Store) Get(ctx context.Context, paths ...string) (map[string]map[string]string, error) {
	for _, path := range paths {
		if _, err := s.find(path); err != nil {
			return nil, err
		}
	}
	got := map[string]map[string]string{}
	err := s.inSession(ctx, sessionOptions{}, func(ctx context.Context, x *session) error {
		for _, path := range paths {
			values, _, err := x.read(ctx, path)
			if err != nil {
				return err
			}
			got[path] = map[string]string{}
			for name, value := range values {
				if text, ok := value.(string); ok {
					got[path][name] = text
				}
			}
		}
		return nil
	})
	return got, err
}

// InputError is what the person who asked can put right.
type InputError struct{ Text string }

func (e *InputError) Error() string { return e.Text }

func (s *Store) find(path string) (platform.SecretPath, error) {
	if wrong := platform.NotSecretPath(path); wrong != "" {
		return platform.SecretPath{}, &InputError{fmt.Sprintf("the path %.200q %s", path, wrong)}
	}
	if p, found := s.Declared.Path(path); found {
		return p, nil
	}
	var known []string
	for _, p := range s.Declared.Paths {
		known = append(known, p.Path)
	}
	return platform.SecretPath{}, &InputError{fmt.Sprintf("%s declares no path %q%s", s.Declared.File, path, near(path, known))}
}

func (s *Store) noKey(p platform.SecretPath, key string) error {
	if wrong := platform.NotSecretKey(key); wrong != "" {
		return &InputError{fmt.Sprintf("the key %.200q %s", key, wrong)}
	}
	var known []string
	for _, k := range p.Keys {
		known = append(known, k.Name)
	}
	return &InputError{fmt.Sprintf("%s declares no key %q of %s%s", s.Declared.File, key, p.Path, near(key, known))}
}

func (s *Store) notGenerated(p platform.SecretPath, key string) error {
	k, found := p.Key(key)
	if !found {
		return s.noKey(p, key)
	}
	if k.User != nil {
		return &InputError{fmt.Sprintf("%s of %s is given by you; change it with: idp secrets set %s %s", key, p.Path, p.Path, key)}
	}
	if err := s.Settable(p.Path, key); err != nil {
		return err
	}
	return &InputError{fmt.Sprintf("%s of %s is not generated", key, p.Path)}
}

func near(word string, known []string) string {
	if n := platform.Nearest(word, known); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return "; there are " + listed(slices.Sorted(slices.Values(known)))
}
