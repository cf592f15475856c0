package lint

import (
	"encoding/json"
	"io"
	"strings"
)

// SARIF 2.1.0, the part of it that code hosts read. https://docs.oasis-open.org/sarif/sarif/v2.1.0/
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
)

// WriteSARIF writes the findings for code hosts, which show them at their files.
func WriteSARIF(out io.Writer, found []Finding) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "idp lint"}}, Results: []sarifResult{}}
	index := map[string]int{}
	for i, r := range Rules() {
		index[r.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{r.ID, sarifText{r.Title}})
	}
	for _, f := range found {
		location := sarifLocation{Physical: sarifPhysical{sarifArtifact{fileOf(f), "%SRCROOT%"}, sarifRegion{max(f.Line, 1)}}}
		text := f.Message + ". " + f.Fix
		if f.Object != (Object{}) {
			location.Logical = []sarifLogical{{f.Object.String(), "resource"}}
			text = f.Object.String() + ": " + text
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule], Level: "error", Message: sarifText{text}, Locations: []sarifLocation{location},
		})
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{
		Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
}

// fileOf is a file, since code hosts show nothing at a folder: for a component's folder, its Chart.yaml.
func fileOf(f Finding) string {
	if strings.HasSuffix(f.File, ".yaml") || strings.HasSuffix(f.File, ".tpl") {
		return f.File
	}
	return f.File + "/Chart.yaml"
}
