package seccomp

// A slot is where the table keeps a system call number: the number itself, or,
// for ARM's private calls, publicSlots and what is above armPrivate. Slots
// keep the order of numbers, and there are few enough for an array.
const (
	publicSlots = 1000
	slotCount   = publicSlots + armPrivateCount

	noNumber = 0xffff // the architecture does not have the call
)

// lookup finds a name's row in numbers, or -1.
func lookup(name string) int {
	lo, hi := 0, nameCount
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch s := names[nameEnds[mid]:nameEnds[mid+1]]; {
		case s == name:
			return mid
		case s < name:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return -1
}

// lookupAfter is lookup for a list in order, which profiles mostly are: the row
// is often one of the next after the last one's.
func lookupAfter(last int, name string) int {
	for row := last + 1; row < min(last+4, nameCount); row++ {
		if names[nameEnds[row]:nameEnds[row+1]] == name {
			return row
		}
	}
	return lookup(name)
}

// multiplexer says through which call, and as which of its first arguments, an
// architecture with multiplexed calls can make the named one: number is
// socketcallNumber or ipcNumber, or 0 for the great majority. The
// sub-call numbers are those of linux/net.h and linux/ipc.h.
func multiplexer(name string) (number int, call uint64) {
	switch name {
	case "socket":
		return socketcallNumber, 1
	case "bind":
		return socketcallNumber, 2
	case "connect":
		return socketcallNumber, 3
	case "listen":
		return socketcallNumber, 4
	case "accept":
		return socketcallNumber, 5
	case "getsockname":
		return socketcallNumber, 6
	case "getpeername":
		return socketcallNumber, 7
	case "socketpair":
		return socketcallNumber, 8
	case "send":
		return socketcallNumber, 9
	case "recv":
		return socketcallNumber, 10
	case "sendto":
		return socketcallNumber, 11
	case "recvfrom":
		return socketcallNumber, 12
	case "shutdown":
		return socketcallNumber, 13
	case "setsockopt":
		return socketcallNumber, 14
	case "getsockopt":
		return socketcallNumber, 15
	case "sendmsg":
		return socketcallNumber, 16
	case "recvmsg":
		return socketcallNumber, 17
	case "accept4":
		return socketcallNumber, 18
	case "recvmmsg":
		return socketcallNumber, 19
	case "sendmmsg":
		return socketcallNumber, 20
	case "semop":
		return ipcNumber, 1
	case "semget":
		return ipcNumber, 2
	case "semctl":
		return ipcNumber, 3
	case "semtimedop":
		return ipcNumber, 4
	case "msgsnd":
		return ipcNumber, 11
	case "msgrcv":
		return ipcNumber, 12
	case "msgget":
		return ipcNumber, 13
	case "msgctl":
		return ipcNumber, 14
	case "shmat":
		return ipcNumber, 21
	case "shmdt":
		return ipcNumber, 22
	case "shmget":
		return ipcNumber, 23
	case "shmctl":
		return ipcNumber, 24
	}
	return 0, 0
}
