// Package rights passes descriptors to other programs, at whose unix sockets nobody
// may be listening (SCM_RIGHTS, unix(7)).
package rights
