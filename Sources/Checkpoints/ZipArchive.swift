/// The entries of a zip archive as PyTorch writes it: stored, never compressed; zip64 where it must be.
///
/// Everything the directory says is checked against the file: signatures, sizes, bounds, unique names, no overlap.
/// Source: PKWARE APPNOTE 4.3 (records), 4.5.3 (zip64 extended information).
struct ZipArchive {
    static let entryLimit = 1 << 20

    /// The bytes of each entry within the file, by name.
    let entries: [String: Range<Int>]

    private let mapping: FileMapping

    static func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= 4 && UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)) == 0x0403_4B50
    }

    init(_ mapping: FileMapping) throws(CheckpointError) {
        self.mapping = mapping
        let directory = try Directory(mapping)
        var entries: [String: Range<Int>] = [:]
        entries.reserveCapacity(directory.entryCount)
        /// Each entry with its local header.
        var extents: [(name: String, bytes: Range<Int>)] = []
        var reader = directory.range.lowerBound
        for index in 0..<directory.entryCount {
            let entry = try Entry(mapping, at: &reader, end: directory.range.upperBound, index: index)
            let (header, data) = try entry.place(mapping, before: directory.range.lowerBound)
            extents.append((entry.name, header..<data.upperBound))
            guard entries.updateValue(data, forKey: entry.name) == nil else {
                throw .malformed(mapping.path, "zip entry \(quoted(entry.name)) appears twice")
            }
        }
        guard reader == directory.range.upperBound else {
            throw .malformed(
                mapping.path, "zip directory holds more than its \(directory.entryCount) entries")
        }
        var end = 0
        for (name, range) in extents.sorted(by: { $0.bytes.lowerBound < $1.bytes.lowerBound }) {
            guard range.lowerBound >= end else {
                throw .malformed(mapping.path, "zip entry \(quoted(name)) overlaps another")
            }
            end = range.upperBound
        }
        self.entries = entries
    }

    /// Where the central directory lies.
    private struct Directory {
        let range: Range<Int>
        let entryCount: Int

        init(_ mapping: FileMapping) throws(CheckpointError) {
            func malformed(_ what: String) -> CheckpointError {
                .malformed(mapping.path, "zip archive: \(what)")
            }
            let total = mapping.bytes.count
            var end = total - 22
            let earliest = max(0, total - 22 - 65_535)
            while end >= earliest, mapping.load(end, as: UInt32.self) != 0x0605_4B50 { end -= 1 }
            guard end >= earliest, end >= 0 else {
                throw malformed("no end record; the file is truncated")
            }
            var count = UInt64(mapping.load(end + 10, as: UInt16.self))
            var size = UInt64(mapping.load(end + 12, as: UInt32.self))
            var offset = UInt64(mapping.load(end + 16, as: UInt32.self))
            let disks = [end + 4, end + 6].map { mapping.load($0, as: UInt16.self) }
            var limit = end
            if end >= 20, mapping.load(end - 20, as: UInt32.self) == 0x0706_4B50 {
                let record = mapping.load(end - 12, as: UInt64.self)
                guard end >= 76, record <= UInt64(end - 76),
                    mapping.load(Int(record), as: UInt32.self) == 0x0606_4B50
                else { throw malformed("the zip64 end record is missing") }
                limit = Int(record)
                count = mapping.load(limit + 32, as: UInt64.self)
                size = mapping.load(limit + 40, as: UInt64.self)
                offset = mapping.load(limit + 48, as: UInt64.self)
            } else if disks.contains(where: { $0 != 0 }) {
                throw malformed("spans several disks")
            }
            guard count <= UInt64(ZipArchive.entryLimit) else { throw malformed("\(count) entries") }
            guard offset <= UInt64(limit), size <= UInt64(limit) - offset else {
                throw malformed("the directory lies outside the file")
            }
            range = Int(offset)..<Int(offset + size)
            entryCount = Int(count)
        }
    }

    /// One record of the central directory.
    private struct Entry {
        let name: String
        private let size: UInt64
        private let headerOffset: UInt64

        init(_ mapping: FileMapping, at reader: inout Int, end: Int, index: Int) throws(CheckpointError) {
            func malformed(_ what: String) -> CheckpointError {
                .malformed(mapping.path, "zip entry \(index): \(what)")
            }
            let start = reader
            guard end - start >= 46, mapping.load(start, as: UInt32.self) == 0x0201_4B50 else {
                throw malformed("no directory record")
            }
            let nameLength = Int(mapping.load(start + 28, as: UInt16.self))
            let extraLength = Int(mapping.load(start + 30, as: UInt16.self))
            let commentLength = Int(mapping.load(start + 32, as: UInt16.self))
            guard end - start - 46 >= nameLength + extraLength + commentLength else {
                throw malformed("truncated record")
            }
            reader = start + 46 + nameLength + extraLength + commentLength
            guard
                let name = String(
                    validating: mapping.bytes[start + 46..<start + 46 + nameLength], as: UTF8.self)
            else {
                throw malformed("its name is not UTF-8")
            }
            self.name = name
            guard mapping.load(start + 8, as: UInt16.self) & 0x2041 == 0 else {
                throw .unsupported(
                    mapping.path, "zip entry \(quoted(name)) is encrypted",
                    hint: "save the checkpoint with torch.save")
            }
            guard mapping.load(start + 10, as: UInt16.self) == 0 else {
                throw .unsupported(
                    mapping.path,
                    "zip entry \(quoted(name)) is compressed (method \(mapping.load(start + 10, as: UInt16.self)))",
                    hint: "torch.save stores entries uncompressed; do not re-zip a checkpoint")
            }
            var packed = UInt64(mapping.load(start + 20, as: UInt32.self))
            var size = UInt64(mapping.load(start + 24, as: UInt32.self))
            var offset = UInt64(mapping.load(start + 42, as: UInt32.self))
            // zip64: 8-byte values for exactly those fields that are all ones, in this order.
            var extra = start + 46 + nameLength
            let extraEnd = extra + extraLength
            while extraEnd - extra >= 4 {
                let kind = mapping.load(extra, as: UInt16.self)
                let length = Int(mapping.load(extra + 2, as: UInt16.self))
                guard length <= extraEnd - extra - 4 else { throw malformed("truncated extra field") }
                if kind == 1 {
                    var field = extra + 4
                    let fieldEnd = field + length
                    func wide(_ value: inout UInt64) throws(CheckpointError) {
                        guard value == 0xFFFF_FFFF else { return }
                        guard fieldEnd - field >= 8 else { throw malformed("zip64 field too short") }
                        value = mapping.load(field, as: UInt64.self)
                        field += 8
                    }
                    try wide(&size)
                    try wide(&packed)
                    try wide(&offset)
                }
                extra += 4 + length
            }
            guard packed == size else { throw malformed("stored, yet \(packed) bytes stand for \(size)") }
            self.size = size
            headerOffset = offset
        }

        /// Where the entry's local header starts, and the bytes behind it.
        func place(_ mapping: FileMapping, before limit: Int) throws(CheckpointError) -> (header: Int, data: Range<Int>)
        {
            func malformed(_ what: String) -> CheckpointError {
                .malformed(mapping.path, "zip entry \(quoted(name)) \(what)")
            }
            guard limit >= 30, headerOffset <= UInt64(limit - 30) else {
                throw malformed("lies outside the file")
            }
            let header = Int(headerOffset)
            guard mapping.load(header, as: UInt32.self) == 0x0403_4B50 else {
                throw malformed("has no local header")
            }
            guard mapping.load(header + 8, as: UInt16.self) == 0 else {
                throw malformed("is stored and compressed at once")
            }
            let nameLength = Int(mapping.load(header + 26, as: UInt16.self))
            let start = header + 30 + nameLength + Int(mapping.load(header + 28, as: UInt16.self))
            guard start <= limit, size <= UInt64(limit - start) else {
                throw malformed("reaches past the end: truncated")
            }
            guard mapping.bytes[header + 30..<header + 30 + nameLength].elementsEqual(name.utf8) else {
                throw malformed("has another name in its local header")
            }
            return (header, start..<start + Int(size))
        }
    }
}
