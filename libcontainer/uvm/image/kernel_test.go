package image

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// bzImage is a kernel with this payload behind two sectors of real-mode code
// and 16 bytes of the code that would unpack it.
func bzImage(payload []byte) []byte {
	image := make([]byte, 2*512+16)
	image[setupSectorsAt] = 1
	copy(image[headerMagicAt:], "HdrS")
	binary.LittleEndian.PutUint16(image[protocolAt:], 0x20f)
	binary.LittleEndian.PutUint32(image[payloadOffsetAt:], 16)
	binary.LittleEndian.PutUint32(image[payloadLengthAt:], uint32(len(payload)))
	return slices.Concat(image, payload, []byte("what follows"))
}

// sized adds the size of what is in it to a payload.
func sized(payload, contents []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(payload), uint32(len(contents)))
}

// literalLZ4 is a frame of one block of literals.
func literalLZ4(data []byte) []byte {
	block := []byte{0xf0}
	n := len(data) - 15
	for ; n >= 255; n -= 255 {
		block = append(block, 255)
	}
	block = append(append(block, byte(n)), data...)
	frame := binary.LittleEndian.AppendUint32([]byte("\x02\x21\x4c\x18"), uint32(len(block)))
	return append(frame, block...)
}

func TestVmlinux(t *testing.T) {
	want := testVmlinux()
	asked := ""
	fake := func(format string, data []byte) ([]byte, error) {
		asked += format + " " + hex.EncodeToString(data) + "\n"
		return want, nil
	}
	for name, kernel := range map[string][]byte{
		"ELF":  want,
		"gzip": bzImage(gzipped(want)),
		"lz4":  bzImage(sized(literalLZ4(want), want)),
		"xz":   bzImage(sized([]byte("\xfd7zXZ\x00abc"), want)),
		"zstd": bzImage(sized([]byte("\x28\xb5\x2f\xfdabc"), want)),
	} {
		asked = ""
		got, err := Vmlinux(kernel, fake)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v", name, len(got), err)
		}
		// Without the size behind it, which is not part of the format.
		if want := map[string]string{"xz": "xz fd377a585a00616263\n", "zstd": "zstd 28b52ffd616263\n"}[name]; asked != want {
			t.Errorf("%s: asked to unpack %q, want %q", name, asked, want)
		}
	}
}

func TestVmlinuxRefuses(t *testing.T) {
	good := testVmlinux()
	old := bzImage(gzipped(good))
	binary.LittleEndian.PutUint16(old[protocolAt:], 0x207)
	errTool := errors.New("no such tool")
	for _, tt := range []struct {
		name   string
		kernel []byte
		want   string
		is     error
	}{
		{"empty", nil, "reading the kernel: it is neither an ELF file nor a bzImage for x86", nil},
		{"text", bytes.Repeat([]byte("x"), 4096), "reading the kernel: it is neither an ELF file nor a bzImage for x86", nil},
		{"old", old, "reading the kernel: its boot protocol 2.07 is older than 2.08", nil},
		{"cut", bzImage(gzipped(good))[:1100], "reading the kernel: its header says ", nil},
		{"no payload", bzImage(nil), "reading the kernel: its header says 0 bytes at 1040", nil},
		{"bzip2", bzImage([]byte("BZh91AY")), "unpacking the kernel: it is packed in a way that begins with 425a6839: wrun knows gzip, lz4, xz and zstd", nil},
		{"broken gzip", bzImage(gzipped(good)[:60]), "unpacking the kernel: decompressing gzip: unexpected EOF", nil},
		{"broken lz4", bzImage(sized(literalLZ4(good)[:60], good)), "unpacking the kernel: decompressing lz4: the lz4 data is damaged", errLZ4},
		{"half", bzImage(sized(literalLZ4(good[:100]), good)), "unpacking the kernel: decompressing lz4: got 100 bytes, want ", nil},
		{"tool", bzImage(sized([]byte("\xfd7zXZ\x00abc"), good)), "unpacking the kernel: decompressing xz: no such tool", errTool},
		{"no ELF", bzImage(gzipped([]byte("a kernel that is none"))), "checking the kernel: reading it as ELF: ", nil},
		{"arm64", armed(good), "checking the kernel: it is for EM_AARCH64, not for x86-64", nil},
		{"no notes", testInit(), "checking the kernel: the kernel has no PVH entry point (build it with CONFIG_PVH=y)", ErrNoPVH},
		{"other notes", testELF(".notes", ptNote, note("Xen\x00", 6, "linux\x00")+note("GNU\x00", pvhNote, "1234")), "checking the kernel: the kernel has no PVH entry point", ErrNoPVH},
		{"cut notes", testELF(".notes", ptNote, note("Xen\x00", pvhNote, "1234")[:18]), "checking the kernel: the kernel has no PVH entry point", ErrNoPVH},
	} {
		_, err := Vmlinux(tt.kernel, func(string, []byte) ([]byte, error) { return nil, errTool })
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestTools unpacks with what this machine has.
func TestTools(t *testing.T) {
	for _, format := range []string{"xz", "zstd"} {
		t.Run(format, func(t *testing.T) {
			if _, err := exec.LookPath(format); err != nil {
				t.Skipf("no %s on this machine", format)
			}
			want := bytes.Repeat([]byte("a kernel "), 1000)
			cmd := exec.Command(format, "-c")
			cmd.Stdin = bytes.NewReader(want)
			packed, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if formatOf(packed) != format {
				t.Errorf("%s writes what is taken for %q", format, formatOf(packed))
			}
			if got, err := Tools(format, packed); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if _, err := Tools(format, packed[:len(packed)/2]); err == nil || !strings.HasPrefix(err.Error(), format+" -dc: exit status 1: ") {
				t.Errorf("half the data: %v", err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := Tools("xz", nil); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "apt-get install xz-utils") {
			t.Errorf("no xz on the machine: %v", err)
		}
	})
}

func TestUnlz4(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		// As `lz4 -l` of Debian 12 packs the text; the repeat reaches into itself.
		{"tool", "02214c18 10000000 6f 68656c6c6f20 0600 05 5068656c6c6f", strings.Repeat("hello ", 5) + "hello"},
		{"two blocks", "02214c18 02000000 10 61 02000000 10 62", "ab"},
		{"two frames", "02214c18 02000000 10 61 02214c18 02000000 10 62", "ab"},
		{"long", "02214c18 09000000 1f 61 0100 ff 00 20 62 63", "a" + strings.Repeat("a", 15+255+4) + "bc"},
		{"nothing", "02214c18", ""},
	} {
		data, err := hex.DecodeString(strings.ReplaceAll(tt.data, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unlz4(data); err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestUnlz4Refuses(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{"", "does not begin with a frame"},
		{"02214c", "does not begin with a frame"},
		{"04224d18 00000000", "does not begin with a frame"}, // the newer kind
		{"02214c18 0200", "ends within a length"},
		{"02214c18 09000000 10 61", "a block of 9 bytes has only 2"},
		{"02214c18 02000000 20 61", "2 literal bytes are too many"},
		{"02214c18 01000000 f0", "a length has no end"},
		{"02214c18 03000000 f0 ff ff", "a length has no end"},
		{"02214c18 03000000 10 61 01", "ends within a distance"},
		{"02214c18 05000000 10 61 0000 00", "4 bytes from 0 before cannot come again"},
		{"02214c18 06000000 10 61 0200 10 62", "4 bytes from 2 before cannot come again"},
		{"02214c18 04000000 10 61 0100", "does not end with literal bytes"},
		{"02214c18 00000000", "does not end with literal bytes"},
		{"02214c18 02000000 10 61 06000000 10 62 0200 10 63", "4 bytes from 2 before"},                                               // in the block before
		{"02214c18 07820000 1f 61 0100" + strings.Repeat("ff", 33282) + "00", "a length has no end"},                                 // more than a block can hold
		{"02214c18 87800000 1f 61 0100" + strings.Repeat("ff", 32896) + "cd 10 62", "8388704 bytes from 1 before cannot come again"}, // a little more
	} {
		raw, err := hex.DecodeString(strings.ReplaceAll(tt.data, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unlz4(raw); !errors.Is(err, errLZ4) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s: got %d bytes, %v, want %s", tt.data, len(got), err, tt.want)
		}
	}
}

func FuzzUnlz4(f *testing.F) {
	f.Add([]byte("\x02\x21\x4c\x18\x10\x00\x00\x00\x6fhello \x06\x00\x05\x50hello"))
	f.Add(literalLZ4(testVmlinux()))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := unlz4(data)
		if err == nil && len(out) > 256*len(data) {
			t.Errorf("%d bytes became %d: a byte cannot say more than 255", len(data), len(out))
		}
		if err != nil && !errors.Is(err, errLZ4) {
			t.Error(err)
		}
	})
}
