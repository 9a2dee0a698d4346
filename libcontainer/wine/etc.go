package wine

import "strings"

// hosts is the container's /etc/hosts, which is Windows' drivers\etc\hosts, too.
func hosts(name string) string {
	text := "127.0.0.1 localhost\n::1 localhost\n"
	if name != "" {
		text += "127.0.1.1 " + name + "\n"
	}
	return text
}

// resolver is the container's /etc/resolv.conf: the host's name servers, and the
// suffixes that the bundle wants.
func resolver(host string, w *Wants) string {
	var b strings.Builder
	for line := range strings.Lines(host) {
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
		case f[0] == "nameserver", f[0] == "options", (f[0] == "search" || f[0] == "domain") && len(w.Search) == 0:
			b.WriteString(strings.Join(f, " ") + "\n")
		}
	}
	if len(w.Search) > 0 {
		b.WriteString("search " + strings.Join(w.Search, " ") + "\n")
	}
	if !w.Unqualified {
		// resolv.conf(5): "it will not try to resolve an unqualified name as if it
		// were a top level domain".
		b.WriteString("options no-tld-query\n")
	}
	return b.String()
}
