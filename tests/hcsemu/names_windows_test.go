package hcsemu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The names that others than HCS's clients know systems and paths by.

var (
	ntdll          = windows.NewLazySystemDLL("ntdll.dll")
	openJobObject  = ntdll.NewProc("NtOpenJobObject")
	isProcessInJob = windows.NewLazySystemDLL("kernel32.dll").NewProc("IsProcessInJob")
)

// openJob opens a job by its name in the object manager's root.
func openJob(t *testing.T, name string) (windows.Handle, error) {
	t.Helper()
	n, err := windows.NewNTUnicodeString(name)
	if err != nil {
		t.Fatal(err)
	}
	attributes := windows.OBJECT_ATTRIBUTES{ObjectName: n}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	const setAttributesAndQuery = 0x2 | 0x4
	var h windows.Handle
	if status, _, _ := openJobObject.Call(uintptr(unsafe.Pointer(&h)), setAttributesAndQuery, uintptr(unsafe.Pointer(&attributes))); status != 0 {
		return 0, windows.NTStatus(status)
	}
	return h, nil
}

// TestSiloIsAJob: a silo's job has HCS's name from its creation to its end, and
// its processes are in it.
func TestSiloIsAJob(t *testing.T) {
	s := mustCreate(t, "job", siloDocument(t))
	job, err := openJob(t, `\Container_job`)
	if err != nil {
		t.Fatal(err)
	}
	// What wrun sets there, GROUP_AFFINITY by JobObjectGroupInformationEx, Wine
	// 8 does not know and refuses; that it took effect cannot be seen under Wine.
	affinity := struct {
		mask     uintptr
		group    uint16
		reserved [3]uint16
	}{mask: 1}
	_, err = windows.SetInformationJobObject(job, 14, uintptr(unsafe.Pointer(&affinity)), uint32(unsafe.Sizeof(affinity)))
	if err != nil && !errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		t.Errorf("setting its affinity: %v", err)
	}
	s.must("HcsStartComputeSystem", "")
	p := s.run("sleep 1000")
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_INFORMATION, false, p.pid)
	if err != nil {
		t.Fatal(err)
	}
	var inside int32
	if ok, _, err := isProcessInJob.Call(uintptr(h), uintptr(job), uintptr(unsafe.Pointer(&inside))); ok == 0 || inside == 0 {
		t.Errorf("the process is in the job: %d, %v", inside, err)
	}
	windows.CloseHandle(job)
	s.must("HcsTerminateComputeSystem", "")
	// Wine keeps the name for whoever has a process's handle; the next silo of
	// the same id works without.
	s.close()
	again := startSilo(t, "job")
	if code := again.run("true").code(); code != 0 {
		t.Errorf("code %d", code)
	}
	windows.CloseHandle(h)
	again.must("HcsTerminateComputeSystem", "")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		job, err := openJob(t, `\Container_job`)
		if errors.Is(err, windows.STATUS_OBJECT_NAME_NOT_FOUND) {
			return
		}
		windows.CloseHandle(job)
		if time.Now().After(deadline) {
			t.Fatalf("the job outlives its silo: %v", err)
		}
	}
}

// TestPathByVolume: a path that Windows resolved to a volume is looked at.
func TestPathByVolume(t *testing.T) {
	dir, err := filepath.Abs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// Wine's name of drive C: is made of the letter.
	byVolume := fmt.Sprintf(`\\?\Volume{00000000-0000-0000-0000-0000000000%02x}`, strings.ToUpper(dir)[0]) + dir[2:]
	if f, err := os.Open(dir); err != nil {
		t.Fatal(err)
	} else {
		final := make([]uint16, 1024)
		n, err := windows.GetFinalPathNameByHandle(windows.Handle(f.Fd()), &final[0], uint32(len(final)), 1 /* VOLUME_NAME_GUID */)
		f.Close()
		if got := windows.UTF16ToString(final[:n]); err != nil || !strings.EqualFold(got, byVolume) {
			t.Fatalf("the final path is %s, %v; want %s", got, err, byVolume)
		}
	}
	document := func(path string) string {
		return strings.Replace(siloDocument(t), `"Container":{`, `"Container":{"MappedDirectories":[{"HostPath":`+quoted(path)+`,"ContainerPath":"C:\\x"}],`, 1)
	}
	mustCreate(t, "volume", document(byVolume))
	_, doc, hr := create("none", document(byVolume+`\none`))
	expect(t, "a path that is not there", hr, 0x80070003, doc)
}
