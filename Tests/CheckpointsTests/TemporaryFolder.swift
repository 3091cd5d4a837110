import Foundation
import Tensors

/// A folder that is removed with the last reference to it.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "checkpoints-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appending(path: name).path }

    /// Writes a file and returns its path.
    func write(_ bytes: [UInt8], as name: String) throws -> String {
        try Data(bytes).write(to: URL(filePath: path(name)))
        return path(name)
    }
}

/// The project's own copy of the reference checkpoints.
func golden(_ name: String, file: String = #filePath) -> String {
    URL(filePath: file).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/checkpoints/\(name)").path
}

/// Bytes of any fixed-width integer, little-endian.
func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }

/// A safetensors file of this header text and this many bytes of data.
func safetensors(_ header: String, data: Int, length: UInt64? = nil) -> [UInt8] {
    bytes(length ?? UInt64(header.utf8.count)) + Array(header.utf8) + [UInt8](repeating: 7, count: data)
}

/// The bytes of a tensor, which lives until they are copied.
func content(_ tensor: HostTensor) -> [UInt8] { withExtendedLifetime(tensor) { Array(tensor.bytes) } }
