/// Sequences of characters that hardly occur in text but wherever UTF-8 was read as something else.
///
/// Source: ftfy badness.py `BADNESS_RE`, chardata.py `UTF8_DETECTOR_RE`.
struct MojibakePatterns: Sendable {
    static let shared = MojibakePatterns()

    /// A set of characters: bits of `classes`, or all characters but some.
    private enum Element {
        case any(UInt64)
        case none(UInt64)
    }

    private struct Pattern {
        let elements: [Element]
        var atStart = false
    }

    /// The sets a character belongs to, a bit each.
    private let classes: [Unicode.Scalar: UInt64]
    private let patterns: [Pattern]
    private let c1: UInt64
    private let leads: [(set: UInt64, following: Int)]
    private let continuation: UInt64
    private let continuationStrict: UInt64
    private let space: UInt64
    private let word: UInt64
    private let anything: UInt64

    /// Whether `text` looks as if it held mojibake.
    func isBad(_ text: [Unicode.Scalar]) -> Bool {
        let bits = text.map(bits(of:))
        let nonASCII = text.map { !$0.isASCII }
        for start in text.indices {
            // Every pattern holds a character beyond ASCII among its first three.
            guard nonASCII[start..<min(start + 3, text.count)].contains(true) else { continue }
            if patterns.contains(where: { matches($0, bits, at: start) }) { return true }
        }
        return false
    }

    private func matches(_ pattern: Pattern, _ bits: [UInt64], at start: Int) -> Bool {
        guard start + pattern.elements.count <= bits.count, !pattern.atStart || start == 0 else { return false }
        for (offset, element) in pattern.elements.enumerated() {
            switch element {
            case .any(let set): guard bits[start + offset] & set != 0 else { return false }
            case .none(let set): guard bits[start + offset] & set == 0 else { return false }
            }
        }
        return true
    }

    /// The longest run of sequences that look like UTF-8 at or after `start`, not preceded by the tail of another.
    func nextSequence(in text: [Unicode.Scalar], from start: Int) -> Range<Int>? {
        var i = start
        while i < text.count {
            if i == 0 || bits(of: text[i - 1]) & continuationStrict == 0 {
                var end = i
                while let next = sequenceEnd(text, end) { end = next }
                if end > i { return i..<end }
            }
            i += 1
        }
        return nil
    }

    private func sequenceEnd(_ text: [Unicode.Scalar], _ start: Int) -> Int? {
        guard start < text.count else { return nil }
        let first = bits(of: text[start])
        for lead in leads where first & lead.set != 0 && start + lead.following < text.count {
            if text[(start + 1)...(start + lead.following)].allSatisfy({ bits(of: $0) & continuation != 0 }) {
                return start + lead.following + 1
            }
        }
        return nil
    }

    private func bits(of scalar: Unicode.Scalar) -> UInt64 {
        var bits = classes[scalar, default: 0] | anything
        if (0x80...0x9F).contains(scalar.value) { bits |= c1 }
        if (0x80...0xBF).contains(scalar.value) { bits |= continuation | continuationStrict }
        if scalar.isTextSpace { bits |= space }
        if scalar.isWord { bits |= word }
        return bits
    }

    private init() {
        var sets = SetBuilder()
        c1 = sets.reserve()
        space = sets.reserve()
        word = sets.reserve()
        anything = sets.reserve()
        continuation = sets.set(MojibakeCharacters.continuation)
        continuationStrict = sets.set(MojibakeCharacters.continuationStrict)
        leads = [
            (sets.set(MojibakeCharacters.leadOf2), 1), (sets.set(MojibakeCharacters.leadOf3), 2),
            (sets.set(MojibakeCharacters.leadOf4), 3),
        ]
        patterns = Self.patterns(&sets, c1: c1, space: space, word: word)
        classes = sets.classes
    }

    private struct SetBuilder {
        var classes: [Unicode.Scalar: UInt64] = [:]
        private var known: [String: UInt64] = [:]
        private var next: UInt64 = 1

        mutating func reserve() -> UInt64 {
            precondition(next != 0, "more than 64 sets")
            defer { next <<= 1 }
            return next
        }

        /// The bit of the set of these characters.
        mutating func set(_ characters: String) -> UInt64 {
            if let bit = known[characters] { return bit }
            let bit = reserve()
            known[characters] = bit
            for scalar in characters.unicodeScalars { classes[scalar, default: 0] |= bit }
            return bit
        }
    }

    private static func patterns(_ sets: inout SetBuilder, c1: UInt64, space: UInt64, word: UInt64) -> [Pattern] {
        let bad = sets.set(MojibakeCharacters.bad)
        let law = sets.set(MojibakeCharacters.law)
        let currency = sets.set(MojibakeCharacters.currency)
        let opening = sets.set(MojibakeCharacters.startPunctuation)
        let closing = sets.set(MojibakeCharacters.endPunctuation)
        let numeric = sets.set(MojibakeCharacters.numeric)
        let upper = sets.set(MojibakeCharacters.upperAccented)
        let lower = sets.set(MojibakeCharacters.lowerAccented)
        let upperCommon = sets.set(MojibakeCharacters.upperCommon)
        let lowerCommon = sets.set(MojibakeCharacters.lowerCommon)
        let box = sets.set(MojibakeCharacters.box)
        let common = sets.set(MojibakeCharacters.common)
        let kaomoji = sets.set(MojibakeCharacters.kaomoji)
        let smallASCII = sets.set("abcdefghijklmnopqrstuvwxyz")
        let capitalASCII = sets.set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        let blank = sets.set(" ")
        func one(_ characters: String) -> UInt64 { sets.set(characters) }
        func rule(_ elements: UInt64...) -> Pattern { Pattern(elements: elements.map { .any($0) }) }
        func literal(_ text: String) -> [UInt64] { text.unicodeScalars.map { sets.set(String($0)) } }
        func phrase(_ text: String, _ rest: UInt64...) -> Pattern {
            Pattern(elements: (literal(text) + rest).map { .any($0) })
        }

        let weird = lower | upper | box | opening | closing | currency | numeric | law
        let arabicTail = common | currency | bad | numeric | opening | one("ŸŠ®°µ»")
        let tilde = one("ÃÂ")
        let cyrillicLead = one("ВГРС")
        let greekLead = one("ΒΓΞΟ")
        let arabicLead = one("ØÙ")
        var patterns = [
            rule(c1),
            rule(bad | weird, bad),
            rule(smallASCII | capitalASCII, lowerCommon | upperCommon, bad),
            rule(bad, weird),
            rule(lower | lowerCommon | box | closing | currency | numeric, upper),
            rule(box | closing | currency | numeric, lower),
            rule(lower | box | closing, currency),
            rule(space, upper, currency),
            rule(upper | box, numeric | law),
            rule(lower | upper | box | currency | closing, opening, numeric),
            rule(lower | upper | currency | numeric | box | law, closing, opening),
            rule(currency | numeric | box, opening),
            rule(smallASCII, upper, opening | currency),
            rule(box, kaomoji),
            rule(lower | upper | currency | numeric | opening | closing | law, box),
            rule(box, closing),
            rule(lower | upper, opening | closing, word),
            Pattern(elements: [.any(one("Œœ")), .none(smallASCII | capitalASCII)]),
            rule(upper, one("°")),
            rule(one("ÂÃÎÐ"), one("€œŠš¢£Ÿž\u{A0}\u{AD}®©°·»–—´") | opening | closing),
            rule(one("×"), one("²³")),
            rule(arabicLead, arabicTail, arabicLead, arabicTail),
            rule(one("à"), one("²µ¹¼½¾")),
        ]
        patterns += [
            rule(one("√"), one("±∂†≠®™´≤≥¥µø")),
            rule(one("≈"), one("°¢")),
            phrase("‚Ä", one("ìîïòôúùû†°¢π")),
            phrase("‚", one("âó"), one("àä°ê")),
            phrase("вЂ"),
            rule(cyrillicLead, c1 | bad | opening | closing | currency | one("°µ"), cyrillicLead),
            Pattern(
                elements: literal("ГўВЂВ").map { .any($0) } + [
                    .none(one("\n")), .any(smallASCII | capitalASCII | blank),
                ]),
            phrase("Ã", one("\u{A0}¡")),
            rule(smallASCII, tilde, blank),
            rule(smallASCII, space, tilde, blank),
            Pattern(elements: [.any(tilde), .any(blank)], atStart: true),
            rule(smallASCII | one(".,?!") | closing, one("Â"), blank | opening | closing),
            phrase("β€", one("™\u{A0}Ά\u{AD}®°")),
            rule(greekLead, c1 | bad | opening | closing | currency | one("°"), greekLead),
            phrase("ā€"),
        ]
        return patterns
    }
}

extension Unicode.Scalar {
    /// White space as Python's `str.isspace` and `\s` see it.
    var isTextSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// A letter, a number or an underscore, as `\w` sees them.
    var isWord: Bool {
        if isASCII { return isASCIIAlphanumeric || self == "_" }
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
        default: return properties.numericType != nil
        }
    }
}
