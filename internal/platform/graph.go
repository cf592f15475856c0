package platform

import (
	"fmt"
	"slices"
	"strings"
)

// checkGraph checks what the layers need of one another.
func (s source) checkGraph(layers []listed) {
	byName := map[string]listed{}
	var names []string
	for _, l := range layers {
		byName[l.Name] = l
		names = append(names, l.Name)
	}
	for _, l := range layers {
		for _, n := range l.needs {
			switch _, known := byName[n.name]; {
			case n.name == l.Name:
				s.add(n.line, "remove it from needs", "the layer %q needs itself", l.Name)
			case !known:
				s.add(n.line, didYouMean(n.name, names, "layers"), "the layer %q needs %q, which is no layer", l.Name, n.name)
			}
		}
	}
	s.checkCycles(layers, byName)
	s.checkHandOver(layers, byName)
}

// checkCycles reports each set of layers that need one another once, by the cycle that the earliest of them is in.
func (s source) checkCycles(layers []listed, byName map[string]listed) {
	reported := map[string]bool{}
	for _, l := range layers {
		cycle := cycleOf(l.Name, byName)
		if slices.ContainsFunc(cycle, func(name string) bool { return reported[name] }) {
			continue
		}
		steps := make([]string, 0, len(cycle))
		for _, name := range cycle {
			reported[name] = true
			steps = append(steps, fmt.Sprintf("%s (line %d)", name, byName[name].line))
		}
		if len(cycle) > 0 {
			s.add(l.line, "remove one of these needs", "layers need one another: %s", strings.Join(steps, " → "))
		}
	}
}

// cycleOf is the shortest way along needs from a layer back to itself, both ends included; nil for none.
// A layer that needs itself is reported as such and is no cycle here.
func cycleOf(start string, byName map[string]listed) []string {
	from := map[string]string{}
	queue := []string{start}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		for _, n := range byName[name].needs {
			if n.name == start && name != start {
				return wayBack(start, name, from)
			}
			if _, seen := from[n.name]; !seen && n.name != start {
				from[n.name] = name
				queue = append(queue, n.name)
			}
		}
	}
	return nil
}

func wayBack(start, last string, from map[string]string) []string {
	way := []string{start}
	for name := last; name != start; name = from[name] {
		way = append(way, name)
	}
	way = append(way, start)
	slices.Reverse(way)
	return way
}

// checkHandOver wants at most one layer to hand over, after all the others: from then on Argo CD applies them too.
func (s source) checkHandOver(layers []listed, byName map[string]listed) {
	first := slices.IndexFunc(layers, func(l listed) bool { return l.HandOver })
	if first < 0 {
		return
	}
	handOver := layers[first]
	for _, l := range layers[first+1:] {
		if l.HandOver {
			s.add(l.line, "let one layer do it", "the layer %q hands over, as does %q on line %d", l.Name, handOver.Name, handOver.line)
		}
	}
	before := reach(handOver.Name, byName)
	for _, l := range layers {
		if !before[l.Name] && !l.HandOver {
			s.add(handOver.line, fmt.Sprintf("add %s to its needs", l.Name), "the layer %q hands over but doesn't wait for %q", handOver.Name, l.Name)
		}
	}
}

// reach is the set of layers that a layer waits for, directly or through others.
func reach(name string, byName map[string]listed) map[string]bool {
	seen := map[string]bool{}
	queue := []string{name}
	for len(queue) > 0 {
		for _, n := range byName[queue[0]].needs {
			if !seen[n.name] {
				seen[n.name] = true
				queue = append(queue, n.name)
			}
		}
		queue = queue[1:]
	}
	return seen
}

// sorted puts each layer after the layers it needs; of those that could come next, the first in the file does.
// Layers in a cycle are left out: Load has reported them.
func sorted(layers []listed) []Layer {
	done := map[string]bool{}
	order := make([]Layer, 0, len(layers))
	for {
		next := slices.IndexFunc(layers, func(l listed) bool {
			return !done[l.Name] && !slices.ContainsFunc(l.Needs, func(n string) bool { return !done[n] })
		})
		if next < 0 {
			return order
		}
		done[layers[next].Name] = true
		order = append(order, layers[next].Layer)
	}
}
