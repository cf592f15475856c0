// Package chart gets the upstream charts that components depend on: from a cache, from their HTTP or OCI repository, or, where
// neither has them and the cluster is a simulated one, as a stand-in made from the component's inventory. Whatever it hands out
// has the digest that the inventory records. It also checks a component's values against the keys that its charts know, and
// writes inventories.
package chart
