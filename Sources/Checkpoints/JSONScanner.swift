/// A strict, non-allocating walk over JSON text, for headers that nobody vouches for.
///
/// Foundation's parser drops duplicate keys and positions; here every key is seen, nesting is bounded, and an error
/// carries the byte it happened at. Numbers other than unsigned integers are only skipped.
struct JSONScanner {
    struct Failure: Error {
        let offset: Int
        let what: String
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    private(set) var offset = 0

    /// - Parameter text: must outlive the scanner and be valid UTF-8.
    init(_ text: UnsafeRawBufferPointer) {
        bytes = text.bindMemory(to: UInt8.self)
    }

    func fail(_ what: String) -> Failure { Failure(offset: offset, what: what) }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            offset += 1
        }
    }

    /// The next byte that is not white space, left unread.
    mutating func peek() -> UInt8? {
        skipSpace()
        return current
    }

    mutating func expect(_ character: Unicode.Scalar) throws(Failure) {
        guard peek() == UInt8(ascii: character) else { throw fail("expected '\(character)'") }
        offset += 1
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    /// The end of the text, after white space only.
    mutating func expectEnd() throws(Failure) {
        guard peek() == nil else { throw fail("text after the end") }
    }

    /// Calls `member` after every key of an object; it must read the value.
    mutating func object(_ member: (String, inout JSONScanner) throws(Failure) -> Void)
        throws(Failure)
    {
        try expect("{")
        if take("}") { return }
        repeat {
            skipSpace()
            let key = try string()
            try expect(":")
            try member(key, &self)
        } while take(",")
        try expect("}")
    }

    /// Calls `element` for every element of an array; it must read the value.
    mutating func array(_ element: (inout JSONScanner) throws(Failure) -> Void) throws(Failure) {
        try expect("[")
        if take("]") { return }
        repeat { try element(&self) } while take(",")
        try expect("]")
    }

    /// An integer in 0...Int.max, without sign, fraction, exponent or leading zero.
    mutating func unsignedInteger() throws(Failure) -> Int {
        skipSpace()
        let start = offset
        var value = 0
        while let byte = current, byte >= 0x30, byte <= 0x39 {
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowSum) = scaled.addingReportingOverflow(Int(byte - 0x30))
            guard !overflow, !overflowSum else { throw fail("integer too large") }
            value = sum
            offset += 1
        }
        guard offset > start else { throw fail("expected an unsigned integer") }
        guard offset == start + 1 || bytes[start] != 0x30 else {
            throw fail("integer with a leading zero")
        }
        if let byte = current, byte == 0x2E || byte == 0x65 || byte == 0x45 {
            throw fail("expected an integer")
        }
        return value
    }

    mutating func string() throws(Failure) -> String {
        skipSpace()
        guard current == 0x22 else { throw fail("expected a string") }
        offset += 1
        let start = offset
        while let byte = current, byte != 0x22, byte != 0x5C, byte >= 0x20 { offset += 1 }
        guard let stop = current, stop >= 0x20 else { throw fail("unfinished string") }
        if stop == 0x22 {
            defer { offset += 1 }
            return String(decoding: bytes[start..<offset], as: UTF8.self)
        }
        offset = start
        return try escapedString()
    }

    private mutating func escapedString() throws(Failure) -> String {
        var units: [UInt8] = []
        while let byte = current, byte != 0x22 {
            guard byte >= 0x20 else { throw fail("control character in a string") }
            offset += 1
            guard byte == 0x5C else {
                units.append(byte)
                continue
            }
            guard let escape = current else { throw fail("unfinished string") }
            offset += 1
            switch escape {
            case 0x22, 0x5C, 0x2F: units.append(escape)
            case UInt8(ascii: "b"): units.append(0x08)
            case UInt8(ascii: "f"): units.append(0x0C)
            case UInt8(ascii: "n"): units.append(0x0A)
            case UInt8(ascii: "r"): units.append(0x0D)
            case UInt8(ascii: "t"): units.append(0x09)
            case UInt8(ascii: "u"): units.append(contentsOf: try unicodeEscape().utf8)
            default: throw fail("unknown escape")
            }
        }
        guard current == 0x22 else { throw fail("unfinished string") }
        offset += 1
        return String(decoding: units, as: UTF8.self)
    }

    private mutating func unicodeEscape() throws(Failure) -> String {
        let first = try fourDigits()
        guard first >= 0xD800, first < 0xE000 else { return String(Unicode.Scalar(first)!) }
        guard first < 0xDC00, current == 0x5C, offset + 1 < bytes.count,
            bytes[offset + 1] == UInt8(ascii: "u")
        else {
            throw fail("lone surrogate")
        }
        offset += 2
        let second = try fourDigits()
        guard second >= 0xDC00, second < 0xE000 else { throw fail("lone surrogate") }
        return String(Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))!)
    }

    private mutating func fourDigits() throws(Failure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue,
                byte < 0x80
            else {
                throw fail("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }

    /// Skips one value of any kind.
    /// - Parameter depth: how deep it may nest.
    mutating func skipValue(depth: Int = 16) throws(Failure) {
        guard depth > 0 else { throw fail("nested too deep") }
        switch peek() {
        case UInt8(ascii: "{")?:
            try object { (_, scanner) throws(Failure) in try scanner.skipValue(depth: depth - 1) }
        case UInt8(ascii: "[")?:
            try array { (scanner) throws(Failure) in try scanner.skipValue(depth: depth - 1) }
        case 0x22?: _ = try string()
        case UInt8(ascii: "t")?: try literal("true")
        case UInt8(ascii: "f")?: try literal("false")
        case UInt8(ascii: "n")?: try literal("null")
        default: try skipNumber()
        }
    }

    private mutating func literal(_ text: StaticString) throws(Failure) {
        let length = text.utf8CodeUnitCount
        guard offset + length <= bytes.count,
            UnsafeBufferPointer(start: text.utf8Start, count: length).elementsEqual(
                bytes[offset..<offset + length])
        else { throw fail("unknown word") }
        offset += length
    }

    private mutating func skipNumber() throws(Failure) {
        func digits() throws(Failure) {
            let start = offset
            while let byte = current, byte >= 0x30, byte <= 0x39 { offset += 1 }
            guard offset > start else { throw fail("expected a value") }
        }
        if current == UInt8(ascii: "-") { offset += 1 }
        let start = offset
        try digits()
        guard offset == start + 1 || bytes[start] != 0x30 else {
            throw fail("number with a leading zero")
        }
        if current == UInt8(ascii: ".") {
            offset += 1
            try digits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            offset += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
            try digits()
        }
    }
}
