package platform

// Components are all components that the platform runs: its layers in boot order, then those of the stacks that are on.
func (p *Platform) Components() []Component {
	var list []Component
	for _, l := range p.Layers {
		list = append(list, l.Component)
	}
	for _, s := range p.Stacks {
		if s.Enabled {
			list = append(list, s.Components...)
		}
	}
	return list
}

// Layer is the layer of that name.
func (p *Platform) Layer(name string) (Layer, bool) {
	for _, l := range p.Layers {
		if l.Name == name {
			return l, true
		}
	}
	return Layer{}, false
}

// Component is the component of that Application name, of a stack that is off too.
func (p *Platform) Component(app string) (Component, bool) {
	for _, c := range p.Components() {
		if c.App == app {
			return c, true
		}
	}
	for _, s := range p.Stacks {
		for _, c := range s.Components {
			if c.App == app {
				return c, true
			}
		}
	}
	return Component{}, false
}
