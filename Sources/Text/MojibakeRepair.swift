/// Undoes UTF-8 that was read as a single-byte encoding, where the result shows it beyond doubt.
///
/// Source: ftfy `fix_encoding`: each single-byte encoding that could have made the text is tried in turn; spaces that
/// were no-break spaces and bytes that were lost are put back; what remains is looked for inside the text.
enum MojibakeRepair {
    static func repair(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var text = text
        while true {
            let next = step(text)
            if next == text { return text }
            text = next
        }
    }

    private static func step(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard !text.allSatisfy(\.isASCII), MojibakePatterns.shared.isBad(text) else { return text }
        var isLatin1 = false
        for encoding in SingleByteEncoding.all {
            guard var bytes = encoding.encode(text) else { continue }
            isLatin1 = isLatin1 || encoding.kind == .latin1
            // In Mac Roman an en dash before a space would look like a lost no-break space.
            if encoding.kind != .macRoman { bytes = AlteredUTF8.restoringNoBreakSpaces(bytes) }
            if encoding.kind == .windows { bytes = AlteredUTF8.replacingLostBytes(bytes) }
            let isVariant = bytes.contains(0xED) || bytes.contains(0xC0)
            if let fixed = isVariant ? AlteredUTF8.decodeVariant(bytes) : AlteredUTF8.decode(bytes) { return fixed }
        }
        let inside = repairInside(text)
        if inside != text { return inside }
        if isLatin1, let bytes = SingleByteEncoding.latin1.encode(text),
            !bytes.contains(where: SingleByteEncoding.windows1252Holes.contains)
        {
            let fixed = bytes.map { $0 == 0x1A ? "\u{1A}" : SingleByteEncoding.windows1252.scalar($0) }
            if fixed != text { return fixed }
        }
        return CharacterFixes.replaceC1Controls(text)
    }

    /// Repairs sequences that look like UTF-8 in a text that as a whole does not.
    private static func repairInside(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var output: [Unicode.Scalar] = []
        var done = 0
        while let range = MojibakePatterns.shared.nextSequence(in: text, from: done) {
            output += text[done..<range.lowerBound]
            let part = Array(text[range])
            // Only something shorter, so that this ends.
            output += part.count < text.count && MojibakePatterns.shared.isBad(part) ? repair(part) : part
            done = range.upperBound
        }
        return output + text[done...]
    }
}
