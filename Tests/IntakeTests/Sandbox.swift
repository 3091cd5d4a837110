import Foundation
import Glibc

@testable import Intake

/// A folder of its own for one test, removed with it.
final class Sandbox: Sendable {
    let path: String

    init() throws {
        var template = Array((FileManager.default.temporaryDirectory.path + "/intake-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw IntakeError.system(errno, doing: "make", name: "sandbox") }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func root(_ folder: String = "") throws -> SafeRoot {
        try SafeRoot(path: path + "/" + folder)
    }

    func at(_ name: String) -> String { path + "/" + name }

    func folder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: at(name), withIntermediateDirectories: true)
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: at(name)))
    }

    /// Creates a file whose name is any bytes.
    func touch(rawName: [UInt8]) -> Bool {
        let full = Array(path.utf8) + [UInt8(ascii: "/")] + rawName + [0]
        let descriptor = full.withUnsafeBufferPointer { buffer in
            buffer.baseAddress!.withMemoryRebound(to: CChar.self, capacity: buffer.count) {
                open($0, O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)
            }
        }
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }
}
