// Command bench measures what the layer graph is worth: it brings the same layers up on embedded clusters with idp and with the
// usual script (helm upgrade --install --wait, kubectl wait, one after another), in turns, and prints medians, the ratio and
// the memory used.
//
//	go run ./tests/bench -n 5
//
// Every run starts from an empty cluster. Both sides get the same charts and the same values; the script's clock starts when
// its cluster answers, idp's when its first layer starts. The hand-over to Argo CD is on neither clock.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	runs := flag.Int("n", 5, "runs of each kind")
	keep := flag.Bool("keep", false, "keep the folder with the clusters' logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, *runs, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, runs int, keep bool) error {
	dir, err := os.MkdirTemp("", "idp-bench-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("logs:", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	b, err := newBencher(ctx, dir)
	if err != nil {
		return err
	}
	results := map[string][]measurement{}
	for n := range runs {
		for _, kind := range b.kinds() {
			fmt.Fprintf(os.Stderr, "run %d of %d: %s\n", n+1, runs, kind.name)
			m, err := kind.run(ctx)
			if err != nil {
				return fmt.Errorf("run %d, %s: %w", n+1, kind.name, err)
			}
			results[kind.name] = append(results[kind.name], m)
		}
	}
	fmt.Fprintln(os.Stderr, "one more, to look at its memory")
	peak, settled, err := b.footprint(ctx)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	report(results, b.layers)
	fmt.Printf("\nmemory of the cluster, shared pages counted once: peak %d MiB, %s after ready %d MiB\n", peak.proportional>>20, settleTime, settled.proportional>>20)
	fmt.Printf("the same, shared pages counted in each of its processes: peak %d MiB, %s after ready %d MiB\n", peak.resident>>20, settleTime, settled.resident>>20)
	return nil
}

// measurement is one run.
type measurement struct {
	total  time.Duration            // first layer started → last layer done, without the hand-over
	ready  time.Duration            // command started → platform ready, Argo CD's Applications included
	layers map[string]time.Duration // by layer
}

func report(results map[string][]measurement, layers []string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tscript\tcold\twarm\tno-op\t")
	row := func(name string, pick func(measurement) time.Duration) {
		fmt.Fprintf(w, "%s\t", name)
		for _, kind := range []string{"script", "cold", "warm", "no-op"} {
			fmt.Fprintf(w, "%s\t", seconds(median(durations(results[kind], pick))))
		}
		fmt.Fprintln(w)
	}
	for _, layer := range layers {
		row(layer, func(m measurement) time.Duration { return m.layers[layer] })
	}
	row("all layers", func(m measurement) time.Duration { return m.total })
	row("to ready", func(m measurement) time.Duration { return m.ready })
	_ = w.Flush()

	var ratios []float64
	for i := range results["cold"] {
		ratios = append(ratios, results["cold"][i].total.Seconds()/results["script"][i].total.Seconds())
	}
	slices.Sort(ratios)
	fmt.Printf("\nidp / script, run by run: median %.2f (%.2f to %.2f) over %d runs\n",
		ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], len(ratios))
	fmt.Println("\nscript: helm upgrade --install --wait and kubectl wait, layer after layer; cold: idp up on an empty cluster, no snapshot;\n" +
		"warm: a new cluster from the snapshot; no-op: idp up again with nothing changed. Medians, in seconds.")
}

func durations(ms []measurement, pick func(measurement) time.Duration) []time.Duration {
	var ds []time.Duration
	for _, m := range ms {
		ds = append(ds, pick(m))
	}
	return ds
}

func median(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", d.Seconds())
}

// repositoryRoot is the checkout that the command runs in.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "platform.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("run it in a checkout: there is no platform.yaml here or above")
		}
	}
}
