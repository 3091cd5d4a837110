/// Writes pickles and the zip archives that torch.save puts them in, right or wrong.
struct PickleBuilder {
    var bytes: [UInt8] = [0x80, 2]

    mutating func op(_ opcode: Character) { bytes.append(opcode.asciiValue!) }
    mutating func raw(_ values: [UInt8]) { bytes += values }
    mutating func global(_ module: String, _ name: String) { bytes += Array("c\(module)\n\(name)\n".utf8) }
    mutating func string(_ text: String) {
        bytes += [UInt8(ascii: "X")] + littleEndian(UInt32(text.utf8.count)) + Array(text.utf8)
    }
    mutating func int(_ value: Int32) { bytes += [UInt8(ascii: "J")] + littleEndian(value) }

    mutating func tuple(_ values: [Int]) {
        op("(")
        for value in values { int(Int32(value)) }
        op("t")
    }

    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`.
    mutating func tensor(
        storage: String = "FloatStorage", key: String = "0", count: Int, offset: Int = 0, size: [Int], stride: [Int]
    ) {
        global("torch._utils", "_rebuild_tensor_v2")
        op("(")
        op("(")
        string("storage")
        global("torch", storage)
        string(key)
        string("cpu")
        int(Int32(count))
        op("t")
        op("Q")
        int(Int32(offset))
        tuple(size)
        tuple(stride)
        raw([0x89])
        global("collections", "OrderedDict")
        op(")")
        op("R")
        op("t")
        op("R")
    }

    /// `{name: tensor}` with STOP.
    static func dictionary(_ name: String = "w", _ value: (inout PickleBuilder) -> Void) -> [UInt8] {
        var builder = PickleBuilder()
        builder.op("}")
        builder.string(name)
        value(&builder)
        builder.op("s")
        builder.op(".")
        return builder.bytes
    }

    private func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }
}

/// A zip archive of stored entries; every field can be set wrong.
struct ZipBuilder {
    struct Entry {
        var name: String
        var data: [UInt8]
        var method: UInt16 = 0
        var flags: UInt16 = 0
        var size: UInt32?
        var offset: UInt32?
        var localName: String?
    }

    var entries: [Entry]

    init(_ entries: [Entry]) { self.entries = entries }

    /// An archive as torch.save lays it out.
    init(pickle: [UInt8], storages: [String: [UInt8]] = [:], byteOrder: String = "little") {
        entries =
            [
                Entry(name: "archive/data.pkl", data: pickle),
                Entry(name: "archive/byteorder", data: Array(byteOrder.utf8)),
            ]
            + storages.sorted { $0.key < $1.key }.map { Entry(name: "archive/data/\($0.key)", data: $0.value) }
    }

    func build(zip64: Bool = false) -> [UInt8] {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for entry in entries {
            let offset = UInt32(file.count)
            let size = UInt32(entry.data.count)
            let localName = Array((entry.localName ?? entry.name).utf8)
            file += bytes(UInt32(0x0403_4B50)) + bytes(UInt16(20)) + bytes(entry.flags) + bytes(entry.method)
            file += bytes(UInt32(0)) + bytes(UInt32(0)) + bytes(size) + bytes(size)
            file += bytes(UInt16(localName.count)) + bytes(UInt16(0)) + localName + entry.data
            let name = Array(entry.name.utf8)
            let extra =
                zip64
                ? bytes(UInt16(1)) + bytes(UInt16(24)) + bytes(UInt64(size)) + bytes(UInt64(size))
                    + bytes(UInt64(offset))
                : []
            let claimed = zip64 ? UInt32.max : entry.size ?? size
            directory += bytes(UInt32(0x0201_4B50)) + bytes(UInt16(20)) + bytes(UInt16(20)) + bytes(entry.flags)
            directory += bytes(entry.method) + bytes(UInt32(0)) + bytes(UInt32(0)) + bytes(claimed) + bytes(claimed)
            directory += bytes(UInt16(name.count)) + bytes(UInt16(extra.count)) + bytes(UInt16(0)) + bytes(UInt16(0))
            directory += bytes(UInt16(0)) + bytes(UInt32(0)) + bytes(zip64 ? UInt32.max : entry.offset ?? offset)
            directory += name + extra
        }
        let start = UInt64(file.count)
        let count = UInt64(entries.count)
        file += directory
        if zip64 {
            let record = UInt64(file.count)
            file += bytes(UInt32(0x0606_4B50)) + bytes(UInt64(44)) + bytes(UInt16(45)) + bytes(UInt16(45))
            file += bytes(UInt32(0)) + bytes(UInt32(0)) + bytes(count) + bytes(count)
            file += bytes(UInt64(directory.count)) + bytes(start)
            file += bytes(UInt32(0x0706_4B50)) + bytes(UInt32(0)) + bytes(record) + bytes(UInt32(1))
        }
        file += bytes(UInt32(0x0605_4B50)) + bytes(UInt16(0)) + bytes(UInt16(0))
        file += bytes(zip64 ? UInt16.max : UInt16(count)) + bytes(zip64 ? UInt16.max : UInt16(count))
        file += bytes(zip64 ? UInt32.max : UInt32(directory.count)) + bytes(zip64 ? UInt32.max : UInt32(start))
        return file + bytes(UInt16(0))
    }
}
