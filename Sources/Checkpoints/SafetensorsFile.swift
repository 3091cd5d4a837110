import Tensors

/// The named tensors of one `.safetensors` file.
///
/// Validated as the reference implementation does, and stricter where that lets data hide: the header is at most
/// 100 MB of UTF-8 JSON, names are unique, and the tensors cover the data exactly, without overlap, hole or trailing
/// bytes. Source: safetensors `SafeTensors::read_metadata`, `Metadata::validate`.
struct SafetensorsFile {
    static let headerLimit = 100_000_000

    let records: [TensorRecord]
    let metadata: [String: String]

    /// Whether the bytes start like a header: eight bytes of length, then `{`.
    static func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= 9, bytes[8] == UInt8(ascii: "{") else { return false }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        return length <= UInt64(headerLimit) || bytes[0] != UInt8(ascii: "{")
    }

    init(_ mapping: FileMapping) throws(CheckpointError) {
        let bytes = mapping.bytes
        func malformed(_ what: String) -> CheckpointError { .malformed(mapping.path, what) }
        guard bytes.count >= 8 else {
            throw malformed("\(bytes.count) bytes are too few for a safetensors header")
        }
        let length = mapping.load(0, as: UInt64.self)
        guard length <= UInt64(Self.headerLimit) else {
            throw CheckpointError(
                code: .limit,
                message: "\(mapping.path): header of \(length) bytes, at most \(Self.headerLimit) allowed",
                hint: CheckpointError.replaceHint)
        }
        let dataStart = 8 + Int(length)
        guard dataStart <= bytes.count else {
            throw malformed("header of \(length) bytes in a file of \(bytes.count): truncated")
        }
        let text = UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart])
        guard text.first == UInt8(ascii: "{") else { throw malformed("header does not start with '{'") }
        guard String(validating: text, as: UTF8.self) != nil else {
            throw malformed("header is not UTF-8")
        }
        var header = SafetensorsHeader()
        do {
            try header.read(text)
        } catch {
            throw malformed("header, byte \(8 + error.offset): \(error.what)")
        }
        metadata = header.metadata
        records = try Self.place(header.entries, in: mapping, from: dataStart)
    }

    /// Checks that the entries tile the data and gives each its bytes.
    private static func place(
        _ entries: [SafetensorsHeader.Entry], in mapping: FileMapping, from dataStart: Int
    ) throws(CheckpointError) -> [TensorRecord] {
        let size = mapping.bytes.count - dataStart
        var records: [TensorRecord] = []
        records.reserveCapacity(entries.count)
        for entry in entries {
            func malformed(_ what: String) -> CheckpointError {
                .malformed(mapping.path, "tensor \(quoted(entry.name)): \(what)")
            }
            guard let dtype = DType(safetensorsName: entry.dtype) else {
                throw .unsupported(
                    mapping.path, "tensor \(quoted(entry.name)) has the type \(quoted(entry.dtype))",
                    hint: "known: " + DType.allCases.map(\.safetensorsName).joined(separator: ", "))
            }
            guard entry.begin <= entry.end, entry.end <= size else {
                throw malformed(
                    "data_offsets [\(entry.begin), \(entry.end)] leave the data of \(size) bytes")
            }
            guard let count = elementCount(of: entry.shape),
                case (let needed, let overflow) = count.multipliedReportingOverflow(by: dtype.byteCount),
                !overflow
            else { throw malformed("shape \(entry.shape) is too large") }
            guard needed == entry.end - entry.begin else {
                throw malformed(
                    "\(entry.shape) of \(dtype) needs \(needed) bytes, data_offsets hold \(entry.end - entry.begin)"
                )
            }
            records.append(
                TensorRecord(
                    name: entry.name, shape: entry.shape, dtype: dtype, mapping: mapping,
                    storage: dataStart + entry.begin..<dataStart + entry.end))
        }
        var covered = 0
        for entry in entries.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
            guard entry.begin == covered else {
                throw .malformed(
                    mapping.path,
                    "tensor \(quoted(entry.name)) starts at byte \(entry.begin) of the data, "
                        + (entry.begin < covered ? "inside another tensor" : "leaving a hole from \(covered)"))
            }
            covered = entry.end
        }
        guard covered == size else {
            throw .malformed(mapping.path, "\(size - covered) bytes after the last tensor")
        }
        return records
    }
}

/// The JSON header, read but not yet judged.
struct SafetensorsHeader {
    struct Entry {
        let name: String
        let dtype: String
        let shape: [Int]
        let begin: Int
        let end: Int
    }

    var entries: [Entry] = []
    var metadata: [String: String] = [:]

    mutating func read(_ text: UnsafeRawBufferPointer) throws(JSONScanner.Failure) {
        var scanner = JSONScanner(text)
        var seen: Set<String> = []
        var entries: [Entry] = []
        var metadata: [String: String] = [:]
        try scanner.object { (key, scanner) throws(JSONScanner.Failure) in
            guard seen.insert(key).inserted else { throw scanner.fail("duplicate key \(quoted(key))") }
            if key == "__metadata__" {
                metadata = try Self.strings(&scanner)
            } else {
                entries.append(try Self.entry(key, &scanner))
            }
        }
        try scanner.expectEnd()
        self.entries = entries
        self.metadata = metadata
    }

    /// An object of strings with unique keys.
    static func strings(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> [String: String] {
        var result: [String: String] = [:]
        try scanner.object { (key, scanner) throws(JSONScanner.Failure) in
            let value = try scanner.string()
            guard result.updateValue(value, forKey: key) == nil else {
                throw scanner.fail("duplicate key \(quoted(key))")
            }
        }
        return result
    }

    private static func entry(_ name: String, _ scanner: inout JSONScanner) throws(JSONScanner
        .Failure) -> Entry
    {
        var dtype: String?
        var shape: [Int]?
        var offsets: [Int]?
        func integers(_ scanner: inout JSONScanner, limit: Int) throws(JSONScanner.Failure) -> [Int] {
            var values: [Int] = []
            try scanner.array { (scanner) throws(JSONScanner.Failure) in
                values.append(try scanner.unsignedInteger())
                guard values.count <= limit else { throw scanner.fail("more than \(limit) numbers") }
            }
            return values
        }
        var seen: Set<String> = []
        try scanner.object { (key, scanner) throws(JSONScanner.Failure) in
            guard seen.insert(key).inserted else {
                throw scanner.fail("duplicate key \(quoted(key)) in \(quoted(name))")
            }
            switch key {
            case "dtype": dtype = try scanner.string()
            case "shape": shape = try integers(&scanner, limit: 64)
            case "data_offsets": offsets = try integers(&scanner, limit: 2)
            default: try scanner.skipValue()
            }
        }
        guard let dtype, let shape, let offsets, offsets.count == 2 else {
            throw scanner.fail("\(quoted(name)) lacks dtype, shape or two data_offsets")
        }
        return Entry(name: name, dtype: dtype, shape: shape, begin: offsets[0], end: offsets[1])
    }
}

extension DType {
    /// As safetensors headers spell it.
    public var safetensorsName: String {
        switch self {
        case .f64: "F64"
        case .f32: "F32"
        case .f16: "F16"
        case .bf16: "BF16"
        case .f8e4m3: "F8_E4M3"
        case .i64: "I64"
        case .i32: "I32"
        case .i16: "I16"
        case .i8: "I8"
        case .u8: "U8"
        case .bool: "BOOL"
        }
    }

    /// The type that safetensors headers spell `name`, or nil.
    public init?(safetensorsName name: String) {
        guard let match = DType.allCases.first(where: { $0.safetensorsName == name }) else {
            return nil
        }
        self = match
    }
}
