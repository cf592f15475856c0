package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/idp-blueprint/idp/internal/ui"
	"github.com/spf13/cobra"
)

// roomWanted is the free disk that a first build and a cluster need together, in bytes.
const roomWanted = 8 << 30

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

func newDoctor(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check that this machine and this checkout have what up needs",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			findings := diagnose(cmd.Context(), o)
			if o.output == "json" {
				if err := json.NewEncoder(s.out).Encode(findings); err != nil {
					return err
				}
			} else {
				printFindings(s, findings)
			}
			for _, f := range findings {
				if !f.OK {
					return errors.New("something up needs is missing; the lines marked ✗ say what to do")
				}
			}
			return nil
		},
	}
}

func printFindings(s streams, findings []finding) {
	for _, f := range findings {
		sign := "✓"
		if !f.OK {
			sign = "✗"
		}
		fmt.Fprintf(s.out, "%s %-10s %s\n", sign, f.Check, f.Detail)
		if f.Advice != "" {
			fmt.Fprintf(s.out, "  %s\n", strings.ReplaceAll(f.Advice, "\n", "\n  "))
		}
	}
}

func diagnose(ctx context.Context, o *options) []finding {
	return []finding{
		checkTool(ctx, "git", "install it, for example: apt-get install git", "--version"),
		checkTool(ctx, "go", "install Go 1.26 or newer from https://go.dev/dl/: the control plane is compiled with it", "version"),
		checkSystem(),
		checkRoom("cache", cacheDir),
		checkRoom("state", func() (string, error) { return stateDir(o.name) }),
		checkCheckout(ctx, o),
	}
}

func checkTool(ctx context.Context, name, advice string, args ...string) finding {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return finding{Check: name, Detail: err.Error(), Advice: advice}
	}
	return finding{Check: name, OK: true, Detail: firstLine(string(out))}
}

func checkSystem() finding {
	f := finding{Check: "system", OK: runtime.GOOS == "linux", Detail: runtime.GOOS + "/" + runtime.GOARCH + fmt.Sprintf(", %d processors", runtime.NumCPU())}
	if !f.OK {
		f.Advice = "the embedded cluster runs on Linux; use --cluster existing here"
	}
	return f
}

// checkRoom looks at the file system that the folder is on, or will be.
func checkRoom(name string, where func() (string, error)) finding {
	dir, err := where()
	if err != nil {
		return finding{Check: name, Detail: err.Error()}
	}
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(at, &fs); err != nil {
		return finding{Check: name, Detail: fmt.Sprintf("%s: %v", at, err)}
	}
	free := fs.Bavail * uint64(fs.Bsize)
	f := finding{Check: name, OK: free >= roomWanted, Detail: fmt.Sprintf("%s, %d GiB free", dir, free>>30)}
	if !f.OK {
		f.Advice = fmt.Sprintf("a first build and a cluster want %d GiB; make room or move the folder with XDG_CACHE_HOME and XDG_STATE_HOME", roomWanted>>30)
	}
	return f
}

// checkCheckout reads and renders the whole platform, as up would.
func checkCheckout(ctx context.Context, o *options) finding {
	f := finding{Check: "platform"}
	prep, err := prepare(ctx, o, func(ui.Event) {})
	if err != nil {
		f.Detail, f.Advice = "the checkout can't be rendered", err.Error()
		return f
	}
	defer prep.close()
	f.OK = true
	f.Detail = fmt.Sprintf("%s: %d layers, %d components; charts: %s", prep.platform.Root, len(prep.steps), len(prep.applications()), summary(prep.sources))
	return f
}
