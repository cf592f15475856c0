package lint

import (
	"fmt"
	"path"
	"time"

	"github.com/idp-blueprint/idp/internal/platform"
)

// except takes out the findings that an exception lets pass, and adds what is wrong with the exceptions: they must not outlive their
// reason, or the next such defect passes with them.
func except(found []Finding, exceptions []platform.Exception, today time.Time) []Finding {
	used := make([]bool, len(exceptions))
	var kept []Finding
	for _, f := range found {
		passes := false
		for i, e := range exceptions {
			if matches(e, f) {
				used[i], passes = true, true
			}
		}
		if !passes {
			kept = append(kept, f)
		}
	}
	for i, e := range exceptions {
		if rule, message, fix := wrong(e, used[i], today); rule != "" {
			kept = append(kept, Finding{Rule: rule, Component: e.App, File: e.File, Line: e.Line, Message: message, Fix: fix})
		}
	}
	return kept
}

func matches(e platform.Exception, f Finding) bool {
	kind, _ := path.Match(e.Kind, f.Object.Kind)
	name, _ := path.Match(e.Name, f.Object.Name)
	return e.App == f.Component && e.Rule == f.Rule && f.Object != (Object{}) && kind && name
}

func wrong(e platform.Exception, used bool, today time.Time) (rule, message, fix string) {
	known := make([]string, 0, len(rules()))
	isRule := false
	for _, r := range rules() {
		known = append(known, r.ID)
		isRule = isRule || r.ID == e.Rule
	}
	object := e.Kind + "/" + e.Name
	switch {
	case !isRule:
		return ruleExceptionRule, fmt.Sprintf("there is no rule %q that exceptions can be made of", e.Rule), "name a rule as the findings do" + near(e.Rule, known)
	case e.Reason == "":
		return ruleExceptionReason, fmt.Sprintf("the exception of %s for %s has no reason", object, e.Rule), "add reason: why this one must be so"
	case !used:
		return ruleExceptionStale, fmt.Sprintf("nothing of %s needs an exception for %s", object, e.Rule), "remove the exception"
	case !e.Expires.IsZero() && today.After(e.Expires.AddDate(0, 0, 1)):
		return ruleExceptionExpired, fmt.Sprintf("the exception of %s for %s is over since %s", object, e.Rule, e.Expires.Format(time.DateOnly)),
			"correct what it lets pass, or set another date"
	}
	return "", "", ""
}

// unknownValues: Helm takes a key that no chart knows without a word, and it does nothing. It is the most frequent defect of all: a
// setting at the wrong depth.
func unknownValues(in Input) []Finding {
	var found []Finding
	for _, wrong := range in.Values {
		for _, c := range in.Components {
			if path.Dir(wrong.File) == c.Path {
				found = append(found, Finding{Rule: ruleUnknownValues, Component: c.App, File: wrong.File, Line: wrong.Line, Message: wrong.Msg, Fix: wrong.Hint})
			}
		}
	}
	return found
}
