/// The lines of a small text file, whatever editor wrote it.
///
/// Understood: UTF-8 with or without byte order mark, UTF-16 of either byte order with one; lines ended by LF, CRLF, CR,
/// NEL, or the Unicode line and paragraph separators. Everything else is refused with the place.
struct SourceText: Sendable {
    /// Largest rule, prompt or configuration file, in bytes.
    static let maximumBytes = 64 * 1024

    /// Without their endings. Never empty.
    let lines: [[Unicode.Scalar]]

    init(_ bytes: [UInt8], source: String) throws(RuleProblem) {
        guard bytes.count <= Self.maximumBytes else {
            throw RuleProblem(
                source: source, code: .tooLarge, message: "the file has \(bytes.count) bytes, more than 64 KiB",
                hint: "Shorten it; a rule or prompt is a few lines of text.")
        }
        lines = try Self.split(try Self.decode(bytes, source: source), source: source)
    }

    private static func decode(_ bytes: [UInt8], source: String) throws(RuleProblem) -> [Unicode.Scalar] {
        if bytes.starts(with: [0xFF, 0xFE, 0, 0]) || bytes.starts(with: [0, 0, 0xFE, 0xFF]) {
            throw encodingProblem(source, line: nil, "the file is UTF-32 text")
        }
        if bytes.starts(with: [0xFF, 0xFE]) {
            return try utf16(bytes.dropFirst(2), source: source) { UInt16($0) | UInt16($1) << 8 }
        }
        if bytes.starts(with: [0xFE, 0xFF]) {
            return try utf16(bytes.dropFirst(2), source: source) { UInt16($0) << 8 | UInt16($1) }
        }
        let body = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        let zeros = body.prefix(64).count(where: { $0 == 0 })
        if zeros > 0, zeros * 3 > min(body.count, 64) {
            throw encodingProblem(source, line: nil, "the file looks like UTF-16 without a byte order mark")
        }
        return try utf8(body, source: source)
    }

    private static func utf8(_ bytes: ArraySlice<UInt8>, source: String) throws(RuleProblem) -> [Unicode.Scalar] {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(bytes.count)
        var decoder = Unicode.UTF8()
        var iterator = bytes.makeIterator()
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): scalars.append(scalar)
            case .emptyInput: return scalars
            case .error:
                throw encodingProblem(source, line: lineCount(scalars), "the text is not UTF-8")
            }
        }
    }

    private static func utf16(
        _ bytes: ArraySlice<UInt8>, source: String, _ unit: (UInt8, UInt8) -> UInt16
    ) throws(RuleProblem) -> [Unicode.Scalar] {
        guard bytes.count.isMultiple(of: 2) else {
            throw encodingProblem(source, line: nil, "the UTF-16 text ends in the middle of a character")
        }
        var units: [UInt16] = []
        units.reserveCapacity(bytes.count / 2)
        for index in stride(from: bytes.startIndex, to: bytes.endIndex, by: 2) {
            units.append(unit(bytes[index], bytes[index + 1]))
        }
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(units.count)
        var decoder = Unicode.UTF16()
        var iterator = units.makeIterator()
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): scalars.append(scalar)
            case .emptyInput: return scalars
            case .error:
                throw encodingProblem(source, line: lineCount(scalars), "the text is not valid UTF-16")
            }
        }
    }

    private static func split(_ scalars: [Unicode.Scalar], source: String) throws(RuleProblem) -> [[Unicode.Scalar]] {
        var lines: [[Unicode.Scalar]] = []
        var line: [Unicode.Scalar] = []
        var index = 0
        while index < scalars.count {
            let scalar = scalars[index]
            switch scalar.value {
            case 0x0D:
                lines.append(line)
                line = []
                if index + 1 < scalars.count, scalars[index + 1] == "\n" { index += 1 }
            case 0x0A, 0x85, 0x2028, 0x2029:
                lines.append(line)
                line = []
            case 0x00...0x08, 0x0B...0x1F, 0x7F...0x9F:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                let code = String(repeating: "0", count: 4 - digits.count) + digits
                throw RuleProblem(
                    source: source, line: lines.count + 1, column: line.count + 1, code: .controlCharacter,
                    message: "a control character (U+\(code)) in column \(line.count + 1)",
                    hint: "Delete that character and save the file as plain text in UTF-8.")
            default:
                line.append(scalar)
            }
            index += 1
        }
        lines.append(line)
        return lines
    }

    private static func lineCount(_ scalars: [Unicode.Scalar]) -> Int {
        var count = 1
        for (index, scalar) in scalars.enumerated() where scalar == "\n" || scalar == "\r" {
            if scalar == "\n", index > 0, scalars[index - 1] == "\r" { continue }
            count += 1
        }
        return count
    }

    private static func encodingProblem(_ source: String, line: Int?, _ message: String) -> RuleProblem {
        RuleProblem(
            source: source, line: line, code: .encoding, message: message,
            hint: "Save it again as UTF-8 (Notepad: File, Save as, Encoding: UTF-8).")
    }
}

extension Unicode.Scalar {
    /// Blank within a line, zero-width characters included.
    var isBlank: Bool {
        switch value {
        case 0x20, 0x09, 0xA0, 0x1680, 0x2000...0x200B, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF: true
        default: false
        }
    }
}

extension Sequence where Element == Unicode.Scalar {
    /// As text.
    var text: String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: self)
        return String(view)
    }
}

extension BidirectionalCollection where Element == Unicode.Scalar, SubSequence: BidirectionalCollection {
    /// As text without blanks at either end.
    var trimmedText: String {
        var slice = self[...]
        while let first = slice.first, first.isBlank { slice = slice.dropFirst() }
        while let last = slice.last, last.isBlank { slice = slice.dropLast() }
        return Array(slice).text
    }
}
