package libcontainer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// TestTrustDescriptor: who may own and change a state root. Wine makes up
// owners and access lists of its own, so the rule is tested on descriptors.
func TestTrustDescriptor(t *testing.T) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	me := user.User.Sid.String()
	for _, tt := range []struct{ sddl, want string }{
		{"O:BA" + rootAccess, ""},
		{"O:SY" + rootAccess, ""},
		{"O:" + me + "D:(A;;FA;;;" + me + ")(A;;FA;;;OW)", ""},
		{"O:BAD:(A;;FA;;;SY)(A;OICI;FRFX;;;BU)", ""},                    // reading is the files' matter
		{"O:BAD:(A;;FA;;;SY)(A;OICIIO;FA;;;CO)", ""},                    // whoever that is has made something before
		{"O:BAD:(D;;FA;;;WD)(A;;FA;;;BA)", ""},                          // a denial gives nothing
		{"O:BU" + rootAccess, "belongs to S-1-5-32-545"},                // Users
		{"O:S-1-5-21-1-2-3-1001" + rootAccess, "belongs to"},            // somebody
		{rootAccess, "belongs to"},                                      // nobody
		{"O:BA", "everybody may write"},                                 // no list is no limit
		{"O:BAD:(A;;FA;;;SY)(A;CI;0x6;;;BU)", "S-1-5-32-545 may write"}, // as %ProgramData% grants it: files and directories
		{"O:BAD:(A;;FW;;;WD)", "S-1-1-0 may write"},
		{"O:BAD:(A;;WD;;;AU)", "S-1-5-11 may write"}, // could give himself the rest
		{"O:BAD:(A;;0x40;;;BU)", "may write"},        // could remove a container
		{"O:BAD:(XA;;FR;;;BU;(Member_of {SID(BA)}))", "type 9"},
	} {
		sd, err := windows.SecurityDescriptorFromString(tt.sddl)
		if err != nil {
			if strings.Contains(tt.sddl, "XA") {
				continue // Wine does not read conditions
			}
			t.Errorf("%s: %v", tt.sddl, err)
			continue
		}
		got := trustDescriptor(sd)
		if tt.want == "" && got != nil || tt.want != "" && (got == nil || !strings.Contains(got.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.sddl, got, tt.want)
		}
	}
}

func TestMakeRoot(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	if err := trustRoot(root); err != nil {
		t.Errorf("a root that is not there yet: %v", err)
	}
	for range 2 { // another wrun may have been quicker
		if err := makeRoot(root); err != nil {
			t.Fatal(err)
		}
	}
	if err := trustRoot(root); err != nil {
		t.Error(err)
	}
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeRoot(filepath.Join(file, "x")); err == nil {
		t.Error("a root below a file was made")
	}
	if err := trustRoot(file); err == nil || !strings.Contains(err.Error(), "is no directory") {
		t.Errorf("a file as the root: %v", err)
	}
	if underWine() {
		return // it answers what the Unix mode says
	}
	sd, err := windows.GetNamedSecurityInfo(root, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		t.Fatal(err)
	}
	got := sd.String()
	if !strings.HasPrefix(got, "D:P") || !strings.HasSuffix(got, strings.TrimPrefix(rootAccess, "D:P")) {
		t.Errorf("access %s, want %s", got, rootAccess)
	}
}

func underWine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

// TestDeadLock: a remover that was killed between its mark and the end. Nobody
// takes the rest for a container, and the first who needs the id clears it away.
func TestDeadLock(t *testing.T) {
	dead := func() string {
		dir := filepath.Join(t.TempDir(), "c1")
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{lockFile, configFile} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	dir := dead()
	if _, err := acquire(t.Context(), dir, shared, 0); !errors.Is(err, ErrNotExist) {
		t.Errorf("shared: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("who only looked has removed it: %v", err)
	}
	if _, err := acquire(t.Context(), dir, exclusive, time.Second); !errors.Is(err, ErrNotExist) {
		t.Errorf("exclusive: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the rest is still there: %v", err)
	}
	dir = dead()
	l, err := reserve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("reserved with %v, %v", left, err)
	}
}

// TestLookingRevivesNothing: a reader makes no lock where there is none.
func TestLookingRevivesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := acquire(t.Context(), dir, shared, 0); !errors.Is(err, ErrNotExist) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestReplaceWhatIsRead: a reader that does not end delays the writer and does
// not break it; one that ends in time is not noticed.
func TestReplaceWhatIsRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), stateFile)
	if err := writeFile(name, []byte("old")); err != nil {
		t.Fatal(err)
	}
	// As an editor would open it: without FILE_SHARE_DELETE.
	open := func() windows.Handle {
		t.Helper()
		h, err := windows.CreateFile(windows.StringToUTF16Ptr(name), windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := open()
	time.AfterFunc(100*time.Millisecond, func() { windows.CloseHandle(h) })
	begin := time.Now()
	if err := replaceFile(name+".new", name, []byte("new")); err != nil {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	if data, err := readFile(name); err != nil || string(data) != "new" {
		t.Errorf("%q, %v", data, err)
	}
	defer windows.CloseHandle(open())
	begin = time.Now()
	err := replaceFile(name+".new", name, []byte("newer"))
	if took := time.Since(begin); err == nil || took < patience || took > patience+5*time.Second {
		t.Errorf("a reader that stays: %v after %v", err, took)
	}
	if data, err := readFile(name); err != nil || string(data) != "new" {
		t.Errorf("%q, %v: neither whole nor old", data, err)
	}
	if _, err := os.Stat(name + ".new"); err == nil {
		t.Error("the new file was left")
	}
}

// TestOwner is the account that the state belongs to.
func TestOwner(t *testing.T) {
	if got := owner(t.TempDir()); !strings.Contains(got, `\`) {
		t.Errorf("%q", got)
	}
	if got := owner(filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
