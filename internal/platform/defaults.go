package platform

// setDefaults fills what platform.yaml leaves out.
func setDefaults(c *Config) {
	orElse(&c.Name, "idp")
	orElse(&c.Domain, c.Name+".localhost")
	orElse(&c.Profile, demoProfile)
	orElse(&c.Git.Revision, "main")
	orElse(&c.Kubernetes.Version, "v1.37.2")
	if len(c.Cluster.Pools) == 0 {
		c.Cluster.Pools = defaultPools()
	}
	if c.Stacks == nil {
		c.Stacks = map[string]bool{}
	}
}

// defaultPools are three nodes: a tainted one for the control plane, one for the platform's own parts and one for what runs on it.
func defaultPools() []Pool {
	const role = "node-role.kubernetes.io/control-plane"
	return []Pool{
		withPoolDefaults(Pool{
			Name:   "control-plane",
			Labels: map[string]string{role: ""},
			Taints: []Taint{{Key: role, Effect: "NoSchedule"}},
		}),
		withPoolDefaults(Pool{Name: "infra"}),
		withPoolDefaults(Pool{Name: "workload"}),
	}
}

// withPoolDefaults gives a pool one node of 2 CPU and 4 GiB where it says nothing else.
func withPoolDefaults(p Pool) Pool {
	if p.Count == 0 {
		p.Count = 1
	}
	orElse(&p.CPU, "2")
	orElse(&p.Memory, "4Gi")
	return p
}

func orElse(value *string, fallback string) {
	if *value == "" {
		*value = fallback
	}
}
