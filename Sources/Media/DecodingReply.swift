/// The first words of the process that decodes: a header of 32 bytes, then two texts, then what `DecodingOrder.Task` says.
///
/// The sender has read hostile bytes and may have been taken over: whatever it says is checked and cut here.
struct DecodingReply: Equatable {
    enum Content: Equatable {
        /// Of a picture with its orientation applied.
        case extent(DecodingExtent)
        case failure(MediaError)
    }

    var measures: SandboxMeasures
    var content: Content

    static let headerCount = 32
    /// Bytes of one text.
    static let textLimit = 1_024
    private static let magic = Array("DRPR".utf8)
    private static let codes: [MediaError.Code] = [
        .incomplete, .notAnImage, .tooLarge, .corrupt, .unsupported, .io, .unavailable,
    ]

    /// Header and texts.
    var bytes: [UInt8] {
        var (extent, code, number) = (DecodingExtent(rows: 0, columns: 0), 0, 0)
        var texts: [[UInt8]] = [[], []]
        switch content {
        case .extent(let found): extent = found
        case .failure(let error):
            code = 1 + (Self.codes.firstIndex(of: error.code) ?? 0)
            number = Int(error.errno ?? 0)
            texts = [error.message, error.hint].map { Array($0.utf8.prefix(Self.textLimit)) }
        }
        let fields = [
            DecodingOrder.version, Int(measures.rawValue), code, number, extent.columns,
            extent.rows, texts[0].count | texts[1].count << 16,
        ]
        let header = fields.flatMap { field in
            (0..<4).map { UInt8(truncatingIfNeeded: field >> (8 * $0)) }
        }
        return Self.magic + header + texts[0] + texts[1]
    }

    /// The fixed part, as it came.
    struct Header {
        private let measures: SandboxMeasures
        private let code: MediaError.Code?
        private let number: Int32?
        private let extent: DecodingExtent
        private let messageCount: Int
        /// Bytes of text that follow.
        let textCount: Int

        /// - Returns: nil when it is no header of a reply.
        init?(_ bytes: [UInt8]) {
            guard bytes.count == headerCount, bytes.starts(with: magic) else { return nil }
            func field(_ index: Int) -> Int { bytes.littleEndian32(4 + 4 * index) }
            let counts = (field(6) & 0xFFFF, field(6) >> 16)
            guard field(0) == DecodingOrder.version, field(2) <= codes.count,
                max(counts.0, counts.1) <= textLimit
            else { return nil }
            measures = SandboxMeasures(rawValue: Int32(truncatingIfNeeded: field(1))).intersection(.all)
            code = field(2) == 0 ? nil : codes[field(2) - 1]
            number = field(3) == 0 ? nil : Int32(truncatingIfNeeded: field(3))
            extent = DecodingExtent(rows: field(5), columns: field(4))
            messageCount = counts.0
            textCount = counts.0 + counts.1
            guard code != nil || (textCount == 0 && extent.rows > 0 && extent.columns > 0) else { return nil }
        }

        /// - Parameter texts: `textCount` bytes.
        func reply(_ texts: [UInt8]) -> DecodingReply? {
            guard texts.count == textCount else { return nil }
            guard let code else { return DecodingReply(measures: measures, content: .extent(extent)) }
            let error = MediaError(
                code, text(texts.prefix(messageCount)), hint: text(texts.dropFirst(messageCount)), errno: number)
            return DecodingReply(measures: measures, content: .failure(error))
        }
    }

    /// One line of text without control characters, whatever the bytes.
    private static func text(_ bytes: some Sequence<UInt8>) -> String {
        var text = String.UnicodeScalarView()
        for scalar in String(decoding: Array(bytes), as: UTF8.self).unicodeScalars {
            let shown =
                scalar.properties.generalCategory != .control && scalar.properties.generalCategory != .format
                && scalar.properties.generalCategory != .lineSeparator
                && scalar.properties.generalCategory != .paragraphSeparator
            text.append(shown ? scalar : "\u{FFFD}")
        }
        return String(text)
    }
}
