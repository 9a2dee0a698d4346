package libcontainer

// undo is a stack of what takes the steps done so far back. It runs when a
// later step fails, last step first.
type undo []func() error

func (u *undo) push(f func() error) { *u = append(*u, f) }

// run stops at the first step that cannot be taken back: the steps below it,
// the record of the container among them, are what a later delete needs.
func (u *undo) run() error {
	for len(*u) > 0 {
		last := len(*u) - 1
		f := (*u)[last]
		*u = (*u)[:last]
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
