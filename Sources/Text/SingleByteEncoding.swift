/// One character a byte; ASCII below 0x80.
///
/// Source: ftfy chardata.py `CHARMAP_ENCODINGS`, bad_codecs/sloppy.py.
struct SingleByteEncoding: Sendable {
    enum Kind: Sendable {
        case latin1
        /// A Windows code page whose unassigned bytes pass through and in which byte 0x1A stands for a lost character.
        case windows
        /// An encoding without holes.
        case complete
        case macRoman
    }

    let kind: Kind
    /// What the bytes 0x80...0xFF stand for.
    private let upper: [Unicode.Scalar]
    private let bytes: [Unicode.Scalar: UInt8]

    /// - Parameter table: 128 characters; nil for Latin-1.
    private init(_ kind: Kind, _ table: String?) {
        self.kind = kind
        upper = table.map { Array($0.unicodeScalars) } ?? (0x80...0xFF).map { Unicode.Scalar(UInt8($0)) }
        precondition(upper.count == 128, "a table of \(upper.count) characters")
        var bytes: [Unicode.Scalar: UInt8] = [:]
        for (index, scalar) in upper.enumerated() { bytes[scalar] = UInt8(0x80 + index) }
        if kind == .windows { bytes["\u{FFFD}"] = 0x1A }
        self.bytes = bytes
    }

    func scalar(_ byte: UInt8) -> Unicode.Scalar {
        byte < 0x80 ? (byte == 0x1A && kind == .windows ? "\u{FFFD}" : Unicode.Scalar(byte)) : upper[Int(byte) - 0x80]
    }

    /// The bytes that were read as `text`, or nil if it holds a character this encoding lacks.
    func encode(_ text: [Unicode.Scalar]) -> [UInt8]? {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        for scalar in text {
            if scalar.isASCII {
                guard scalar != "\u{1A}" || kind != .windows else { return nil }
                output.append(UInt8(scalar.value))
            } else {
                guard let byte = bytes[scalar] else { return nil }
                output.append(byte)
            }
        }
        return output
    }

    static let latin1 = SingleByteEncoding(.latin1, nil)
    static let windows1252 = SingleByteEncoding(.windows, SingleByteTables.windows1252)

    /// In the order in which they are tried.
    static let all: [SingleByteEncoding] = [
        latin1,
        windows1252,
        SingleByteEncoding(.windows, SingleByteTables.windows1251),
        SingleByteEncoding(.windows, SingleByteTables.windows1250),
        SingleByteEncoding(.windows, SingleByteTables.windows1253),
        SingleByteEncoding(.windows, SingleByteTables.windows1254),
        SingleByteEncoding(.windows, SingleByteTables.windows1257),
        SingleByteEncoding(.complete, SingleByteTables.iso8859Part2),
        SingleByteEncoding(.macRoman, SingleByteTables.macRoman),
        SingleByteEncoding(.complete, SingleByteTables.codePage437),
    ]

    /// The bytes that Windows-1252 leaves unassigned.
    static let windows1252Holes: Set<UInt8> = [0x81, 0x8D, 0x8F, 0x90, 0x9D]
}
