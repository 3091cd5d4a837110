/// Character by character: what a typist would not have meant. Source: ftfy fixes.py, chardata.py.
enum CharacterFixes {
    /// C1 controls as the Windows-1252 characters they nearly always are.
    static func replaceC1Controls(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard text.contains(where: { (0x80...0x9F).contains($0.value) }) else { return text }
        return text.map {
            (0x80...0x9F).contains($0.value) ? SingleByteEncoding.windows1252.scalar(UInt8($0.value)) : $0
        }
    }

    /// Latin ligatures and digraphs apart, full-width and half-width forms in their usual width, quotes straight.
    static func replaceForms(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard !text.allSatisfy(\.isASCII) else { return text }
        // One after the other, since a form may stand for a ligature's letters or for a quote.
        return straightenQuotes(translate(translate(text, ligatures), widths))
    }

    private static func translate(
        _ text: [Unicode.Scalar], _ table: [Unicode.Scalar: [Unicode.Scalar]]
    ) -> [Unicode.Scalar] {
        guard text.contains(where: { table[$0] != nil }) else { return text }
        return text.flatMap { table[$0] ?? [$0] }
    }

    private static func straightenQuotes(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        text.map {
            switch $0.value {
            case 0x02BC, 0x2018...0x201B: "'"
            case 0x201C...0x201F: "\""
            default: $0
            }
        }
    }

    /// Every kind of line break as a line feed.
    static func unifyLineBreaks(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var output: [Unicode.Scalar] = []
        output.reserveCapacity(text.count)
        for (index, scalar) in text.enumerated() {
            switch scalar {
            case "\n" where index > 0 && text[index - 1] == "\r": break
            case "\r", "\u{2028}", "\u{2029}", "\u{85}": output.append("\n")
            default: output.append(scalar)
            }
        }
        return output
    }

    /// Without escape sequences of terminals: ESC [ digits and semicolons, one letter.
    static func removeTerminalEscapes(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard text.contains("\u{1B}") else { return text }
        var output: [Unicode.Scalar] = []
        var i = 0
        while i < text.count {
            if text[i] == "\u{1B}", i + 1 < text.count, text[i + 1] == "[" {
                var end = i + 2
                while end < text.count, text[end] == ";" || text[end].properties.numericType == .decimal { end += 1 }
                if end < text.count, text[end].isASCIILetter {
                    i = end + 1
                    continue
                }
            }
            output.append(text[i])
            i += 1
        }
        return output
    }

    /// Without control characters that no text needs; tab, line feed, form feed and carriage return stay.
    static func removeControls(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        text.filter {
            switch $0.value {
            case 0x00...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x206A...0x206F, 0xFEFF, 0xFFF9...0xFFFC: false
            default: true
            }
        }
    }

    private static let ligatures: [Unicode.Scalar: [Unicode.Scalar]] = [
        "Ĳ": ["I", "J"], "ĳ": ["i", "j"], "ŉ": ["ʼ", "n"],
        "Ǳ": ["D", "Z"], "ǲ": ["D", "z"], "ǳ": ["d", "z"],
        "Ǆ": ["D", "Ž"], "ǅ": ["D", "ž"], "ǆ": ["d", "ž"],
        "Ǉ": ["L", "J"], "ǈ": ["L", "j"], "ǉ": ["l", "j"],
        "Ǌ": ["N", "J"], "ǋ": ["N", "j"], "ǌ": ["n", "j"],
        "ﬀ": ["f", "f"], "ﬁ": ["f", "i"], "ﬂ": ["f", "l"], "ﬃ": ["f", "f", "i"], "ﬄ": ["f", "f", "l"],
        "ﬅ": ["ſ", "t"], "ﬆ": ["s", "t"],
    ]

    private static let widths: [Unicode.Scalar: [Unicode.Scalar]] = {
        var table: [Unicode.Scalar: [Unicode.Scalar]] = [:]
        for word in words(of: characterWidthTable) {
            let parts = word.split(separator: ":")
            table[scalars(parts[0])[0]] = scalars(parts[1])
        }
        return table
    }()
}
