/// A zip archive of stored entries, as `torch.save` lays it out.
struct Archive {
    private(set) var bytes: [UInt8] = []

    init(pickle: [UInt8]) {
        let entries: [(name: String, data: [UInt8])] = [
            ("archive/data.pkl", pickle), ("archive/byteorder", Array("little".utf8)),
            ("archive/data/0", [UInt8](repeating: 0x3F, count: 24)),
        ]
        var directory: [UInt8] = []
        for (name, data) in entries {
            let offset = bytes.count
            let sizes = little(data.count, 4) + little(data.count, 4)
            let rest = sizes + little(name.utf8.count, 2) + little(0, 2)
            bytes += little(0x0403_4B50, 4) + little(20, 2) + little(0, 12) + rest + Array(name.utf8) + data
            directory += little(0x0201_4B50, 4) + little(20, 2) + little(20, 2) + little(0, 12) + rest
            directory += little(0, 10) + little(offset, 4) + Array(name.utf8)
        }
        let start = bytes.count
        bytes += directory + little(0x0605_4B50, 4) + little(0, 4) + little(entries.count, 2)
        bytes += little(entries.count, 2) + little(directory.count, 4) + little(start, 4) + little(0, 2)
    }
}

/// The lowest `count` bytes of a number, the least first.
func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> (8 * $0)) : 0 }
}

/// The lowest `count` bytes of a number, the greatest first.
func big(_ value: Int, _ count: Int) -> [UInt8] { little(value, count).reversed() }
