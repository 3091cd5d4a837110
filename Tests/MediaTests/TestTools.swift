import Glibc
import TestSupport
import Testing

@testable import Media

/// A folder of the test's own, removed with the value.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/media-tests-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { fatalError("no temporary folder: errno \(errno)") }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        guard let folder = opendir(path) else { return }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            unlink(path + "/" + name)
        }
        closedir(folder)
        rmdir(path)
    }

    func file(_ name: String) -> String { path + "/" + name }
}

enum PictureFile {
    static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try OpenFile(path, flags: O_WRONLY | O_CREAT | O_TRUNC)
        try bytes.withUnsafeBytes { try file.write($0) }
    }

    static func read(_ path: String) throws -> [UInt8] {
        let file = try OpenFile(path, flags: O_RDONLY)
        return try file.read(at: 0, count: file.byteCount())
    }
}

/// The largest resident size that this process has had.
func peakKiB() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss
}

extension SplitMix {
    /// One to four changes: flipped bits, extreme bytes, cuts, repeats, pieces of another file.
    mutating func mutated(_ original: [UInt8], other: [UInt8]) -> [UInt8] {
        var bytes = original
        for _ in 0...(next() % 4) {
            guard bytes.count > 8 else { return bytes }
            // Headers decide most; every second change goes there.
            let span = next() % 2 == 0 ? min(bytes.count, 700) : bytes.count
            let at = Int(next() % UInt64(span))
            switch next() % 7 {
            case 0: bytes[at] ^= 1 << UInt8(next() % 8)
            case 1: bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][Int(next() % 5)]
            case 2: bytes[at] = UInt8(truncatingIfNeeded: next())
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + Int(next() % 64)))
            case 4: bytes.removeLast(Int(next() % UInt64(bytes.count / 2)))
            case 5: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + Int(next() % 64))], at: at)
            default:
                let from = Int(next() % UInt64(other.count))
                let piece = other[from..<min(other.count, from + Int(next() % 200))]
                bytes.replaceSubrange(at..<min(bytes.count, at + piece.count), with: piece)
            }
        }
        return bytes
    }
}
