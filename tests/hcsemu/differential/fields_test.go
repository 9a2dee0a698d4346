package differential

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// fields takes a JSON document apart: every value that is no object and no list
// by its path, a.b[0].c. An empty object or list is a value, too.
func fields(document string) (map[string]string, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w in %q", err, document)
	}
	all := map[string]string{}
	flatten(all, "", v)
	return all, nil
}

func flatten(all map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			flatten(all, strings.TrimPrefix(path+"."+name, "."), value)
		}
		if len(v) == 0 {
			all[path] = "{}"
		}
	case []any:
		for i, value := range v {
			flatten(all, fmt.Sprintf("%s[%d]", path, i), value)
		}
		if len(v) == 0 {
			all[path] = "[]"
		}
	default:
		data, err := json.Marshal(v)
		if err != nil {
			panic(err) // it came out of a JSON document
		}
		all[path] = string(data)
	}
}

// difference is a field that the two documents do not agree about; "" is absent.
type difference struct{ what, path, wrun, runhcs string }

// compare answers in the order of paths.
func compare(what, wrun, runhcs string) ([]difference, error) {
	ours, err := fields(wrun)
	if err != nil {
		return nil, err
	}
	theirs, err := fields(runhcs)
	if err != nil {
		return nil, err
	}
	var all []difference
	for path, value := range ours {
		if theirs[path] != value {
			all = append(all, difference{what, path, value, theirs[path]})
		}
	}
	for path, value := range theirs {
		if _, both := ours[path]; !both {
			all = append(all, difference{what, path, "", value})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].path < all[j].path })
	return all, nil
}

var (
	volume = regexp.MustCompile(`Volume\{[0-9a-fA-F-]{36}\}`)
	bundle = regexp.MustCompile(`(?i)c:\\\\t\\\\t[0-9]+\\\\bundle[0-9]+`)
	folder = regexp.MustCompile(`(?i)\\\\t\\\\t[0-9]+\\\\`) // the test's, in JSON
	guid   = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`)
	system = regexp.MustCompile(`\bt[0-9]+-(wrun|runhcs)\b`)
)

// neutral removes from a document what differs between two runs of one program:
// volumes, the bundle's folder, the container's id, and the values of names.
func neutral(document string, names map[string]string) string {
	document = volume.ReplaceAllString(document, "Volume{GUID}")
	document = bundle.ReplaceAllString(document, "BUNDLE")
	document = folder.ReplaceAllLiteralString(document, `\\TEST\\`)
	document = system.ReplaceAllString(document, "ID")
	for value, name := range names {
		document = regexp.MustCompile(`(?i)`+regexp.QuoteMeta(value)).ReplaceAllLiteralString(document, name)
	}
	return document
}

// table is the differences, each once with the bundles that show it.
type table struct {
	order  []difference
	having map[difference][]string
}

func (t *table) add(name string, all []difference) {
	if t.having == nil {
		t.having = map[difference][]string{}
	}
	for _, d := range all {
		if len(t.having[d]) == 0 {
			t.order = append(t.order, d)
		}
		if !slices.Contains(t.having[d], name) {
			t.having[d] = append(t.having[d], name)
		}
	}
}

// String is Markdown. bundles is how many there were.
func (t *table) String(bundles int) string {
	var b strings.Builder
	b.WriteString("| document | field | wrun | runhcs | bundles |\n|---|---|---|---|---|\n")
	for _, d := range t.order {
		names := t.having[d]
		which := strings.Join(names, ", ")
		if len(names) == bundles {
			which = "all"
		} else if len(names) > 4 {
			which = fmt.Sprintf("%d: %s …", len(names), strings.Join(names[:3], ", "))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d.what, d.path, cell(d.wrun), cell(d.runhcs), which)
	}
	return b.String()
}

func cell(value string) string {
	if value == "" {
		return "–"
	}
	return "`" + strings.ReplaceAll(value, "|", `\|`) + "`"
}
