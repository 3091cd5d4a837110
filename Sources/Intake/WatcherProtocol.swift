/// Reads the lines that `dropreel-watcher` writes.
struct WatcherProtocol {
    private var pending: [UInt8] = []
    /// Longest line that is kept; a path has at most 4,096 bytes, each written as at most three.
    private static let longestLine = 16 * 1024

    /// Takes bytes as they come from the pipe.
    /// - Returns: the events of all lines that are complete now.
    mutating func add(_ bytes: some Sequence<UInt8>) -> [WatchEvent] {
        var events: [WatchEvent] = []
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                if let event = Self.event(pending) { events.append(event) }
                pending.removeAll(keepingCapacity: true)
            } else if pending.count < Self.longestLine {
                pending.append(byte)
            }
        }
        return events
    }

    /// Nil for what cannot be understood, and for paths that are not UTF-8: no input has such a name.
    static func event(_ line: [UInt8]) -> WatchEvent? {
        guard let kind = line.first else { return nil }
        guard let text = String(validating: unescaped(line.dropFirst(2)), as: UTF8.self) else { return nil }
        switch Character(Unicode.Scalar(kind)) {
        case "R": return .ready(folders: Int(text) ?? 0)
        case "C": return .changed(RelativePath(text))
        case "D": return .removed(RelativePath(text))
        case "N": return .folderAppeared(RelativePath(text))
        case "G": return .folderRemoved(RelativePath(text))
        case "O": return .overflow
        case "P": return .partial(reason: text)
        case "U": return .unavailable(reason: text)
        default: return nil
        }
    }

    private static func unescaped(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.endIndex,
                let value = UInt8(String(decoding: bytes[(index + 1)...(index + 2)], as: UTF8.self), radix: 16)
            {
                result.append(value)
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return result
    }
}
