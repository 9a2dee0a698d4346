package netlink

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMessage(t *testing.T) {
	m := New(1, 0, 1, 2, 3)
	m.Attr(5, []byte{9})
	m.Nest(6, func() { m.AttrString(7, "abc"); m.Attr32(8, 4) })
	var seen []string
	Attributes(m[20:], func(typ uint16, value []byte) {
		seen = append(seen, string(rune('0'+typ)))
		if typ == 6 {
			Attributes(value, func(typ uint16, value []byte) {
				seen = append(seen, string(rune('0'+typ))+Text(value))
			})
		}
	})
	if want := []string{"5", "6", "7abc", "8\x04"}; !slices.Equal(seen, want) || len(m)%unix.NLMSG_ALIGNTO != 0 {
		t.Errorf("got %q of %d bytes, want %q", seen, len(m), want)
	}
}

// FuzzAnswer has nothing break on what looks like an answer of the kernel's.
func FuzzAnswer(f *testing.F) {
	m := New(unix.RTM_GETLINK, 0, make([]byte, unix.SizeofIfInfomsg)...)
	m.AttrString(unix.IFLA_IFNAME, "eth0")
	f.Add([]byte(m))
	f.Add([]byte(m[unix.SizeofNlMsghdr:]))
	f.Fuzz(func(_ *testing.T, b []byte) {
		Attributes(b, func(_ uint16, value []byte) { _, _ = Number(value), Text(value) })
		_ = failure(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, b)
		_ = failure(unix.NLMSG_DONE, unix.NLM_F_ACK_TLVS, b)
	})
}
