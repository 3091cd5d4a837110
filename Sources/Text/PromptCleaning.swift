import Foundation

/// Cleans a prompt as the reference implementations do before it is tokenised.
///
/// Repairs text that went through the wrong encoding, takes apart ligatures and full-width forms, straightens quotes,
/// drops control characters, composes (NFC), resolves HTML character references twice, and turns every run of white
/// space into one space.
///
/// Of a text longer than `promptScalarLimit` only the beginning is looked at; 512 tokens never reach that far.
/// Everything ftfy 6.3.1 does by default is done; what differs: it also joins lone surrogates, which cannot occur in
/// a Swift string, and follows the Unicode version of its Python where ours follows Swift's.
/// Source: TurboDiffusion rcm/utils/umt5.py `basic_clean`, `whitespace_clean`; ftfy 6.3.1 `fix_text`.
public func cleanPrompt(_ text: String) -> String {
    let fixed = fixText(Array(text.unicodeScalars.prefix(promptScalarLimit)))
    return string(collapseWhitespace(unescapeHTML(unescapeHTML(fixed))))
}

/// Unicode scalars of a prompt that are looked at.
public let promptScalarLimit = 1 << 16

/// The first step of `cleanPrompt` alone: repairs and simplifies text, line by line.
///
/// Source: ftfy 6.3.1 `fix_text` with its default configuration.
public func fixText(_ text: String) -> String {
    string(fixText(Array(text.unicodeScalars)))
}

func string(_ scalars: [Unicode.Scalar]) -> String { String(String.UnicodeScalarView(scalars)) }

private func fixText(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var output: [Unicode.Scalar] = []
    output.reserveCapacity(text.count)
    // A "<" makes it likely that the text is HTML and means its references; from its line on.
    var unescapes = true
    var start = 0
    while start < text.count {
        let end = (text[start...].firstIndex(of: "\n") ?? text.count - 1) + 1
        let line = Array(text[start..<end])
        if line.contains("<") { unescapes = false }
        output += fixLine(line, unescapes: unescapes)
        start = end
    }
    return output
}

private func fixLine(_ line: [Unicode.Scalar], unescapes: Bool) -> [Unicode.Scalar] {
    var text = line
    while true {
        let before = text
        if unescapes { text = unescapeCompleteHTML(text) }
        text = MojibakeRepair.repair(text)
        text = CharacterFixes.replaceC1Controls(text)
        text = CharacterFixes.replaceForms(text)
        text = CharacterFixes.unifyLineBreaks(text)
        text = CharacterFixes.removeTerminalEscapes(text)
        text = CharacterFixes.removeControls(text)
        text = composed(text)
        if text == before { return text }
    }
}

/// Normalisation form C.
private func composed(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    guard !text.allSatisfy({ $0.value < 0x300 }) else { return text }
    return joinHangul(Array(string(text).precomposedStringWithCanonicalMapping.unicodeScalars))
}

/// Joins a Hangul syllable without a final consonant and the final consonant behind it, which Foundation leaves apart.
/// Source: Unicode 3.12, "Conjoining Jamo Behavior".
private func joinHangul(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    guard text.contains(where: { (0x11A8...0x11C2).contains($0.value) }) else { return text }
    var output: [Unicode.Scalar] = []
    output.reserveCapacity(text.count)
    for scalar in text {
        if (0x11A8...0x11C2).contains(scalar.value), let last = output.last, (0xAC00...0xD7A3).contains(last.value),
            (last.value - 0xAC00).isMultiple(of: 28), let joined = Unicode.Scalar(last.value + scalar.value - 0x11A7)
        {
            output[output.count - 1] = joined
        } else {
            output.append(scalar)
        }
    }
    return output
}

/// Every run of white space as one space, none at either end.
private func collapseWhitespace(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var output: [Unicode.Scalar] = []
    output.reserveCapacity(text.count)
    var pending = false
    for scalar in text {
        if scalar.isTextSpace {
            pending = !output.isEmpty
            continue
        }
        if pending { output.append(" ") }
        pending = false
        output.append(scalar)
    }
    return output
}
