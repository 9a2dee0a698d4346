package differential

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"wrun/tests/wine/rig"
)

var (
	peer   = flag.String("runhcs", "", "`path` of a runhcs.exe")
	hyperv = flag.Bool("hyperv", false, "compare containers under Hyper-V (runhcs v0.8.25)")
	times  = flag.Int("times", 0, "compare wall times, this many `rounds` of a container's life")
)

const runhcs = `C:\wrun\runhcs.exe`

var site rig.Site

func TestMain(m *testing.M) {
	flag.Parse()
	site.Plain = *times > 0
	os.Exit(site.Main(m))
}

// machine is the Windows machine with runhcs on it.
func machine(t *testing.T) *rig.Test {
	t.Helper()
	if *peer == "" {
		t.Skip("compares with Microsoft's runhcs, which is built by hand: -runhcs")
	}
	x := site.New(t)
	x.Untidy()
	x.Install(*peer, runhcs)
	return x
}

// TestDocuments prints how the documents differ. It fails where one program has
// a document that the other has not, or none at all, for reasons that nobody
// has written down.
func TestDocuments(t *testing.T) {
	x := machine(t)
	if *times > 0 {
		t.Skip("-times")
	}
	variants := slices.Concat(both, silos)
	if *hyperv {
		variants = slices.Concat(both, virtual)
	}
	var all table
	var notes []string
	compared := 0
	for i, v := range variants {
		x.Run(v.name, func(sub *testing.T) {
			y := x.In(sub)
			y.Untidy()
			o := surroundings(y, v)
			ours, ourNote := life(y, v, o, fmt.Sprintf("t%d-wrun", i))
			theirs, theirNote := life(y, v, o, fmt.Sprintf("t%d-runhcs", i))
			for program, note := range map[string]string{"wrun": ourNote, "runhcs": theirNote} {
				if note != "" {
					notes = append(notes, fmt.Sprintf("%s, %s: %s", v.name, program, note))
				}
			}
			if len(ours) == 0 || len(theirs) == 0 {
				return
			}
			compared++
			differences, err := pair(ours, theirs)
			y.Must(err)
			all.add(v.name, differences)
		})
	}
	slices.Sort(notes)
	fmt.Printf("%d bundles, documents of both programs for %d.\n\n%s\nWhat did not go well:\n%s\n", len(variants), compared, all.String(compared), strings.Join(notes, "\n"))
	if compared < 25 {
		t.Errorf("only %d bundles were compared", compared)
	}
}

// surroundings makes what the variant finds outside of its container.
func surroundings(t *rig.Test, v variant) *outside {
	o := &outside{dir: t.Dir + `\data`}
	o.file = t.Write(`data\file.txt`, "x")
	if strings.Contains("namespace endpoint dns", v.name) {
		o.endpoint = t.Endpoint()
		o.namespace, o.attached = t.Namespace()
	}
	return o
}

// document is one that the service got.
type document struct{ what, text string }

// life creates and starts a container and removes it again, and answers the
// documents that the service got, also of calls that failed; note says why not
// all went well.
func life(t *rig.Test, v variant, o *outside, id string) (documents []document, note string) {
	t.Helper()
	kind := rig.Silo
	if *hyperv {
		kind = rig.V2
	}
	b := t.Bundle(kind, "probe", "sleep")
	v.edit(t, b, o)
	call := func(args ...string) (rig.Result, error) { return t.Do(t.Command(args...)), nil }
	if strings.HasSuffix(id, "runhcs") {
		if *hyperv {
			delete(b.Spec.Annotations, "org.wrun.hyperv.schema")
			b.Annotate("io.microsoft.virtualmachine.useexternalgcsbridge", "false")
		}
		call = func(args ...string) (rig.Result, error) {
			return t.Try(rig.Call{Program: runhcs, Args: args, Limit: time.Minute})
		}
	}
	dir := b.Save()
	var failed error
	calls := t.Since(func() {
		for _, args := range [][]string{{"create", "--bundle", dir, id}, {"start", id}, {"kill", id, "KILL"}} {
			if r, err := call(args...); err != nil || r.Code != 0 {
				failed = errors.Join(err, fmt.Errorf("%s: %s", args[0], strings.Join(strings.Fields(r.Stderr), " ")))
				break
			}
		}
		time.Sleep(300 * time.Millisecond)
		_, err := call("delete", "--force", id)
		failed = errors.Join(failed, err)
	})
	if failed != nil {
		note = failed.Error()
	}
	names := map[string]string{}
	if o.namespace != "" {
		names[o.namespace] = "BROUGHT"
	}
	for _, c := range calls.Named("HcnCreateNamespace", "HcnOpenNamespace", "HcnDeleteNamespace") {
		for _, made := range guid.FindAllString(strings.Join(append(c.Arguments, c.Document, c.Value), " "), -1) {
			names[made] = "NAMESPACE"
		}
	}
	for _, c := range calls.Named("HcsCreateComputeSystem", "HcsModifyComputeSystem", "HcsCreateProcess", "HcsModifyProcess") {
		what := map[string]string{"HcsCreateComputeSystem": "system", "HcsModifyComputeSystem": "change", "HcsCreateProcess": "process", "HcsModifyProcess": "process change"}[c.Op]
		if strings.HasSuffix(c.System, "@vm") {
			what = "VM " + what
		}
		documents = append(documents, document{what, neutral(c.Document, names)})
	}
	return documents, note
}

// pair compares documents of one kind in the order in which they were sent.
func pair(ours, theirs []document) ([]difference, error) {
	var all []difference
	rest := slices.Clone(theirs)
	for _, d := range ours {
		i := slices.IndexFunc(rest, func(o document) bool { return o.what == d.what && place(o.text) == place(d.text) })
		if i < 0 {
			all = append(all, difference{d.what, "the whole document", d.text, ""})
			continue
		}
		some, err := compare(d.what, d.text, rest[i].text)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		rest = slices.Delete(rest, i, i+1)
	}
	for _, d := range rest {
		all = append(all, difference{d.what, "the whole document", "", d.text})
	}
	return all, nil
}

// place is what a change is about: only changes of the same place are pairs.
func place(text string) string {
	all, err := fields(text)
	if err != nil {
		return ""
	}
	return all["ResourcePath"] + all["GuestRequest.ResourceType"] + all["RequestType"]
}
