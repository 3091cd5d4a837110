import Tensors

/// Interprets the opcodes of a pickle as data. Nothing is imported, called or executed: the few names that are allowed
/// (`PickleGlobal`) are understood here, every other one is an error that says which.
///
/// Time and memory are linear in the pickle's length: every opcode does bounded work and adds a bounded number of values.
/// Source: CPython Lib/pickletools.py (opcodes), torch/serialization.py (persistent ids).
struct PickleInterpreter {
    static let sizeLimit = 64 << 20
    static let stackLimit = 1 << 20
    static let memoLimit = 1 << 20
    static let stringLimit = 1 << 16

    struct Failure: Error {
        let code: CheckpointError.Code
        let offset: Int
        let what: String
    }

    let bytes: UnsafeRawBufferPointer
    var offset = 0
    var stack: [PickleValue] = []
    /// Stack heights at which an unclosed MARK stands.
    var marks: [Int] = []
    var memo: [Int: PickleValue] = [:]
    var sequences: [[PickleValue]] = []
    var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Runs to STOP and returns what is on the stack; `sequences` and `dictionaries` hold the contents of containers.
    mutating func run() throws(Failure) -> PickleValue {
        guard bytes.count <= Self.sizeLimit else {
            throw fail("a pickle of \(bytes.count) bytes", code: .limit)
        }
        while true {
            let opcode = try byte()
            if opcode == UInt8(ascii: ".") { return try pop() }
            try step(opcode)
            guard stack.count <= Self.stackLimit else {
                throw fail("stack of \(stack.count) values", code: .limit)
            }
        }
    }

    func fail(_ what: String, code: CheckpointError.Code = .malformed) -> Failure {
        Failure(code: code, offset: offset, what: what)
    }

    // MARK: Stack and containers

    /// The topmost value above the last MARK.
    mutating func pop() throws(Failure) -> PickleValue {
        guard stack.count > (marks.last ?? 0) else { throw fail("pops an empty stack") }
        return stack.removeLast()
    }

    /// The values above the last MARK, which is taken away.
    mutating func popMark() throws(Failure) -> [PickleValue] {
        guard let mark = marks.popLast() else { throw fail("no MARK on the stack") }
        defer { stack.removeSubrange(mark...) }
        return Array(stack[mark...])
    }

    func top() throws(Failure) -> PickleValue {
        guard stack.count > (marks.last ?? 0) else { throw fail("looks at an empty stack") }
        return stack[stack.count - 1]
    }

    mutating func pushTuple(_ items: [PickleValue]) {
        sequences.append(items)
        stack.append(.tuple(sequences.count - 1))
    }

    mutating func append(_ items: [PickleValue]) throws(Failure) {
        switch try top() {
        case .list(let index): sequences[index].append(contentsOf: items)
        case .set: break
        case let other: throw fail("appends to \(other.kind)")
        }
    }

    mutating func setItems(_ items: [PickleValue]) throws(Failure) {
        guard case .dictionary(let index) = try top() else {
            throw fail("sets an item of \(try top().kind)")
        }
        guard items.count.isMultiple(of: 2) else { throw fail("a key without a value") }
        for i in stride(from: 0, to: items.count, by: 2) {
            dictionaries[index].append((items[i], items[i + 1]))
        }
    }

    mutating func remember(_ key: Int) throws(Failure) {
        guard key >= 0, memo.count < Self.memoLimit else {
            throw fail("memo of \(memo.count) values", code: .limit)
        }
        memo[key] = try top()
    }

    mutating func recall(_ key: Int) throws(Failure) {
        guard let value = memo[key] else { throw fail("memo \(key) was never set") }
        stack.append(value)
    }

    // MARK: Arguments

    mutating func byte() throws(Failure) -> UInt8 {
        guard offset < bytes.count else { throw fail("ends without STOP") }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws(Failure) -> T {
        guard bytes.count - offset >= MemoryLayout<T>.size else {
            throw fail("ends inside an argument")
        }
        defer { offset += MemoryLayout<T>.size }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
    }

    mutating func skip(_ count: UInt64) throws(Failure) {
        guard count <= UInt64(bytes.count - offset) else { throw fail("ends inside an argument") }
        offset += Int(count)
    }

    mutating func string(_ count: UInt64) throws(Failure) -> String {
        guard count <= UInt64(Self.stringLimit) else {
            throw fail("a string of \(count) bytes", code: .limit)
        }
        let start = offset
        try skip(count)
        guard let text = String(validating: bytes[start..<offset], as: UTF8.self) else {
            throw fail("text is not UTF-8")
        }
        return text
    }

    /// Text up to a line feed.
    mutating func line() throws(Failure) -> String {
        let start = offset
        while offset < bytes.count, bytes[offset] != 0x0A, offset - start <= 512 { offset += 1 }
        guard offset < bytes.count, bytes[offset] == 0x0A else { throw fail("a name without an end") }
        defer { offset += 1 }
        guard let text = String(validating: bytes[start..<offset], as: UTF8.self) else {
            throw fail("a name is not UTF-8")
        }
        return text
    }

    /// LONG1: little-endian two's complement of up to 8 bytes.
    mutating func long() throws(Failure) -> Int {
        let count = Int(try byte())
        guard count <= 8 else { throw fail("an integer of \(count) bytes", code: .limit) }
        let start = offset
        try skip(UInt64(count))
        var value: UInt64 = count > 0 && bytes[offset - 1] & 0x80 != 0 ? .max : 0
        for i in (start..<offset).reversed() { value = value << 8 | UInt64(bytes[i]) }
        return Int(truncatingIfNeeded: value)
    }
}
