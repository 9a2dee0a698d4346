package files

import "unsafe"

// The messages of FUSE, protocol 7.38. All numbers are in the byte order of the
// machine, which guest and host share.

const (
	protocolMajor = 7
	protocolMinor = 38
	// oldestMinor is Linux 5.4's; the messages of older guests differ in size.
	oldestMinor = 31

	// rootNode is the number the protocol itself gives to the root of the tree.
	rootNode = 1

	// maxPayload is the most bytes one read or write moves. The guest's
	// readahead is no larger, so more would only cost memory.
	maxPayload = 128 << 10
	// maxFrame bounds a message in either direction: a full payload, and a page
	// for headers, which also holds two names. The guest kernel demands that much
	// room of whoever reads requests.
	maxFrame = maxPayload + 4096

	inHeaderSize  = int(unsafe.Sizeof(inHeader{}))
	outHeaderSize = int(unsafe.Sizeof(outHeader{}))
)

// Operations.
const (
	opLookup        = 1
	opForget        = 2
	opGetattr       = 3
	opSetattr       = 4
	opReadlink      = 5
	opSymlink       = 6
	opMknod         = 8
	opMkdir         = 9
	opUnlink        = 10
	opRmdir         = 11
	opRename        = 12
	opLink          = 13
	opOpen          = 14
	opRead          = 15
	opWrite         = 16
	opStatfs        = 17
	opRelease       = 18
	opFsync         = 20
	opSetxattr      = 21
	opGetxattr      = 22
	opListxattr     = 23
	opRemovexattr   = 24
	opFlush         = 25
	opInit          = 26
	opOpendir       = 27
	opReaddir       = 28
	opReleasedir    = 29
	opFsyncdir      = 30
	opCreate        = 35
	opInterrupt     = 36
	opDestroy       = 38
	opBatchForget   = 42
	opFallocate     = 43
	opReaddirplus   = 44
	opRename2       = 45
	opLseek         = 46
	opCopyFileRange = 47
)

// What the two sides agree on at INIT.
const (
	initAsyncRead       = 1 << 0
	initAtomicTruncate  = 1 << 3
	initBigWrites       = 1 << 5
	initAutoInvalidate  = 1 << 12
	initReaddirplus     = 1 << 13
	initReaddirplusAuto = 1 << 14
	initParallelDirs    = 1 << 18
	initMaxPages        = 1 << 22
	initCacheSymlinks   = 1 << 23
	initKillPrivV2      = 1 << 28
)

// Flags of single messages.
const (
	attrMode       = 1 << 0
	attrUID        = 1 << 1
	attrGID        = 1 << 2
	attrSize       = 1 << 3
	attrAtime      = 1 << 4
	attrMtime      = 1 << 5
	attrHandle     = 1 << 6
	attrAtimeNow   = 1 << 7
	attrMtimeNow   = 1 << 8
	attrKillSUID   = 1 << 11
	getattrHandle  = 1 << 0
	openKillSUID   = 1 << 0
	openKeepCache  = 1 << 1
	openNoFlush    = 1 << 5
	writeFromCache = 1 << 0
	writeKillSUID  = 1 << 2
	fsyncDataOnly  = 1 << 0
)

// inHeader starts every request, outHeader every reply.
type inHeader struct {
	length, opcode uint32
	unique         uint64
	node           uint64
	uid, gid, pid  uint32
	_              uint32
}

type outHeader struct {
	length uint32
	errno  int32
	unique uint64
}

type initIn struct {
	major, minor, maxReadahead, flags uint32
}

type initOut struct {
	major, minor, maxReadahead, flags  uint32
	maxBackground, congestionThreshold uint16
	maxWrite, timeGranularity          uint32
	maxPages, mapAlignment             uint16
	flags2                             uint32
	_                                  [7]uint32
}

type attributes struct {
	ino, size, blocks                uint64
	atime, mtime, ctime              uint64
	atimensec, mtimensec, ctimensec  uint32
	mode, nlink, uid, gid            uint32
	rdev, blockSize, attributesFlags uint32
}

type attrOut struct {
	valid     uint64
	validNsec uint32
	_         uint32
	attr      attributes
}

type entryOut struct {
	node, generation         uint64
	entryValid, attrValid    uint64
	entryValidNsec, attrNsec uint32
	attr                     attributes
}

type forgetIn struct{ lookups uint64 }

type batchForgetIn struct{ count, _ uint32 }

type forgetOne struct{ node, lookups uint64 }

type getattrIn struct {
	flags, _ uint32
	handle   uint64
}

type setattrIn struct {
	valid, _                        uint32
	handle, size, _                 uint64
	atime, mtime, ctime             uint64
	atimensec, mtimensec, ctimensec uint32
	mode, _, uid, gid, _            uint32
}

type mknodIn struct{ mode, rdev, umask, _ uint32 }

type mkdirIn struct{ mode, umask uint32 }

type renameIn struct{ directory uint64 }

type rename2In struct {
	directory uint64
	flags, _  uint32
}

type linkIn struct{ node uint64 }

type openIn struct{ flags, openFlags uint32 }

type createIn struct{ flags, mode, umask, openFlags uint32 }

type openOut struct {
	handle       uint64
	openFlags, _ uint32
}

type createOut struct {
	entry entryOut
	open  openOut
}

// transferIn asks to read or write a file, or to read a directory.
type transferIn struct {
	handle, offset uint64
	size, how      uint32
	_              uint64
	flags, _       uint32
}

type writeOut struct{ size, _ uint32 }

type releaseIn struct {
	handle uint64
	_      [2]uint64
}

type fsyncIn struct {
	handle   uint64
	flags, _ uint32
}

type setxattrIn struct{ size, flags uint32 }

type getxattrIn struct{ size, _ uint32 }

type getxattrOut struct{ size, _ uint32 }

type fallocateIn struct {
	handle, offset, length uint64
	mode, _                uint32
}

type lseekIn struct {
	handle, offset uint64
	whence, _      uint32
}

type lseekOut struct{ offset uint64 }

type copyIn struct {
	handle, offset                uint64
	outNode, outHandle, outOffset uint64
	length, flags                 uint64
}

type statfsOut struct {
	blocks, free, available, files, filesFree uint64
	blockSize, nameLength, fragmentSize       uint32
	_                                         [7]uint32
}

// direntHead precedes the name of one entry of a directory; the whole is padded
// to eight bytes.
type direntHead struct {
	ino, offset      uint64
	nameLength, kind uint32
}

// shape is what a request must consist of after its header: a struct of fixed
// size, then names, each ending in NUL, then, if it carries any, data.
//
// What moves contents, or may free many blocks, is slow: it can wait for a disk
// for long, and others should be served meanwhile.
type shape struct {
	fixed uintptr
	names int
	data  bool
	known bool
	slow  bool
}

// shapes has a shape for each operation served; anything else is answered ENOSYS.
var shapes = [...]shape{
	opLookup:        {known: true, names: 1},
	opForget:        {known: true, slow: true, fixed: unsafe.Sizeof(forgetIn{})},
	opGetattr:       {known: true, fixed: unsafe.Sizeof(getattrIn{})},
	opSetattr:       {known: true, slow: true, fixed: unsafe.Sizeof(setattrIn{})},
	opReadlink:      {known: true},
	opSymlink:       {known: true, names: 2},
	opMknod:         {known: true, fixed: unsafe.Sizeof(mknodIn{}), names: 1},
	opMkdir:         {known: true, fixed: unsafe.Sizeof(mkdirIn{}), names: 1},
	opUnlink:        {known: true, names: 1},
	opRmdir:         {known: true, names: 1},
	opRename:        {known: true, fixed: unsafe.Sizeof(renameIn{}), names: 2},
	opLink:          {known: true, fixed: unsafe.Sizeof(linkIn{}), names: 1},
	opOpen:          {known: true, fixed: unsafe.Sizeof(openIn{})},
	opRead:          {known: true, slow: true, fixed: unsafe.Sizeof(transferIn{})},
	opWrite:         {known: true, slow: true, fixed: unsafe.Sizeof(transferIn{}), data: true},
	opStatfs:        {known: true, slow: true},
	opRelease:       {known: true, fixed: unsafe.Sizeof(releaseIn{})},
	opFsync:         {known: true, slow: true, fixed: unsafe.Sizeof(fsyncIn{})},
	opSetxattr:      {known: true, fixed: unsafe.Sizeof(setxattrIn{}), names: 1, data: true},
	opGetxattr:      {known: true, fixed: unsafe.Sizeof(getxattrIn{}), names: 1},
	opListxattr:     {known: true, fixed: unsafe.Sizeof(getxattrIn{})},
	opRemovexattr:   {known: true, names: 1},
	opFlush:         {known: true, slow: true, fixed: unsafe.Sizeof(releaseIn{})},
	opInit:          {known: true, fixed: unsafe.Sizeof(initIn{}), data: true},
	opOpendir:       {known: true, fixed: unsafe.Sizeof(openIn{})},
	opReaddir:       {known: true, fixed: unsafe.Sizeof(transferIn{})},
	opReleasedir:    {known: true, fixed: unsafe.Sizeof(releaseIn{})},
	opFsyncdir:      {known: true, slow: true, fixed: unsafe.Sizeof(fsyncIn{})},
	opCreate:        {known: true, fixed: unsafe.Sizeof(createIn{}), names: 1},
	opDestroy:       {known: true},
	opBatchForget:   {known: true, slow: true, fixed: unsafe.Sizeof(batchForgetIn{}), data: true},
	opFallocate:     {known: true, slow: true, fixed: unsafe.Sizeof(fallocateIn{})},
	opReaddirplus:   {known: true, fixed: unsafe.Sizeof(transferIn{})},
	opRename2:       {known: true, fixed: unsafe.Sizeof(rename2In{}), names: 2},
	opLseek:         {known: true, fixed: unsafe.Sizeof(lseekIn{})},
	opCopyFileRange: {known: true, slow: true, fixed: unsafe.Sizeof(copyIn{})},
}
