import Glibc

/// The lines on standard output: a letter, then perhaps a space and a path or text. Control characters and `%` are
/// written as `%XX`, all other bytes as they are. The reader is Intake's `WatcherProtocol`.
enum Report {
    enum Kind: UInt8 {
        case ready = 0x52  // R <number of folders>
        case changed = 0x43  // C <path>
        case removed = 0x44  // D <path>
        case folderAppeared = 0x4E  // N <path>
        case folderRemoved = 0x47  // G <path>
        case overflow = 0x4F  // O
        case partial = 0x50  // P <reason>
        case unavailable = 0x55  // U <reason>
    }

    static func text(_ kind: Kind, _ text: String) {
        line(kind, Array(text.utf8))
    }

    /// One line, written at once. Ends the process when nobody reads any more.
    static func line(_ kind: Kind, _ content: [UInt8] = []) {
        var bytes: [UInt8] = [kind.rawValue]
        bytes.reserveCapacity(content.count + 3)
        if !content.isEmpty { bytes.append(0x20) }
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in content {
            if byte < 0x20 || byte == 0x7F || byte == 0x25 {
                bytes.append(contentsOf: [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            } else {
                bytes.append(byte)
            }
        }
        bytes.append(0x0A)
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { write(1, $0.baseAddress! + offset, bytes.count - offset) }
            if count > 0 {
                offset += count
            } else if errno != EINTR {
                exit(0)
            }
        }
    }
}
