import Foundation
import Tensors

/// Writes a `.safetensors` file as a stream: the layout first, then the bytes of each tensor in that order.
///
/// The file appears under its name only when `finish()` returns; until then, and after a failure, there is at most
/// `<path>.partial`, which is removed with the writer.
public final class SafetensorsWriter {
    /// What will be written, in order.
    public struct Entry: Sendable {
        public let name: String
        public let shape: [Int]
        public let dtype: DType

        public init(name: String, shape: [Int], dtype: DType) {
            self.name = name
            self.shape = shape
            self.dtype = dtype
        }

        public var byteCount: Int { shape.reduce(1, *) * dtype.byteCount }
    }

    private let path: String
    private let partialPath: String
    private var descriptor: Int32
    private var remaining: Int

    /// Writes the header. The data starts at a multiple of 64 bytes; list wide types first to keep every tensor aligned.
    /// - Throws: `CheckpointError`.
    public init(path: String, entries: [Entry], metadata: [String: String] = [:])
        throws(CheckpointError)
    {
        self.path = path
        partialPath = path + ".partial"
        let header = Self.header(entries, metadata)
        remaining = entries.reduce(0) { $0 + $1.byteCount }
        descriptor = Foundation.open(partialPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileMapping.failure(partialPath, "cannot be created") }
        try header.withUnsafeBytes { bytes in Result { () throws(CheckpointError) in try write(bytes) }
        }.get()
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(partialPath)
    }

    /// Adds the next bytes of the data, in pieces of any size.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        precondition(bytes.count <= remaining, "more data than the header announced")
        try write(bytes)
        remaining -= bytes.count
    }

    /// Flushes to the disk and gives the file its name.
    ///
    /// - Parameter isLasting: false for a file that need not outlast the machine's next stop: nothing is flushed.
    /// - Precondition: every announced byte was appended.
    public func finish(isLasting: Bool = true) throws(CheckpointError) {
        precondition(remaining == 0, "\(remaining) announced bytes were not written")
        guard !isLasting || fsync(descriptor) == 0 else {
            throw FileMapping.failure(partialPath, "cannot be flushed")
        }
        guard rename(partialPath, path) == 0 else {
            throw FileMapping.failure(path, "cannot be replaced")
        }
        close(descriptor)
        descriptor = -1
    }

    /// Writes whole tensors, wide types first.
    /// - Parameter isLasting: as in `finish`.
    /// - Throws: `CheckpointError`.
    public static func write(
        _ tensors: [HostTensor], metadata: [String: String] = [:], to path: String, isLasting: Bool = true
    ) throws(CheckpointError) {
        let ordered = tensors.enumerated().sorted {
            ($1.element.dtype.byteCount, $0.offset) < ($0.element.dtype.byteCount, $1.offset)
        }.map(\.element)
        let writer = try SafetensorsWriter(
            path: path, entries: ordered.map { Entry(name: $0.name, shape: $0.shape, dtype: $0.dtype) },
            metadata: metadata)
        for tensor in ordered { try writer.append(tensor.bytes) }
        try writer.finish(isLasting: isLasting)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let chunk = UnsafeRawBufferPointer(rebasing: rest)
            let written = Foundation.write(descriptor, chunk.baseAddress, min(chunk.count, 1 << 30))
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw FileMapping.failure(partialPath, "cannot be written") }
            rest = rest.dropFirst(written)
        }
    }

    private static func header(_ entries: [Entry], _ metadata: [String: String]) -> [UInt8] {
        precondition(Set(entries.map(\.name)).count == entries.count, "tensor names repeat")
        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(json($0.key)):\(json($0.value))" }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for entry in entries {
            let shape = entry.shape.map(String.init).joined(separator: ",")
            members.append(
                "\(json(entry.name)):{\"dtype\":\"\(entry.dtype.safetensorsName)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(offset + entry.byteCount)]}")
            offset += entry.byteCount
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        while (8 + text.count) % 64 != 0 { text.append(0x20) }
        return withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text
    }

    private static func json(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
